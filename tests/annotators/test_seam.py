"""SEAM on scripted engines: requests, number of calls, labels and details."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from seam_script import (
    BACK_2,
    BACK_3,
    BACK_BOTH,
    CALM,
    HARMLESS_FIRST,
    NAMES,
    PAIR,
    RecordingEngine,
    chain_of,
    custom_principles,
    for_good,
    hashing_engine,
    is_judgment,
    is_pick,
    is_ranking,
    label,
    last_case,
    pairs,
    seam,
    strong_engine,
    text,
    weak_engine,
)

from trimtab.annotators.prompted import Prompted
from trimtab.annotators.seam import Seam
from trimtab.annotators.seam.scoring import score_strong_picks
from trimtab.annotators.seam.variants import VARIANTS
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import DataError, StudyError
from trimtab.prompts.principles import load_principles
from trimtab.prompts.seam import OrderedPair, build_judgment_request, build_thought_requests
from trimtab.types import ChoiceScores, EngineRequest, Pair, build_user_prompt


@pytest.mark.parametrize(
    ("confidence", "ranks", "calls", "requests"),
    [
        (CALM, (0, 1, 2), 17, 12),
        (BACK_2, (0, 2, 3), 21, 15),
        (BACK_3, (0, 1, 3), 21, 15),
        (BACK_BOTH, (0, 2, 4), 25, 18),
    ],
)
def test_the_released_code_calls_the_strong_model_17_21_or_25_times(
    confidence: dict[int, list[float]], ranks: tuple[int, ...], calls: int, requests: int
) -> None:
    strong, weak = strong_engine(confidence, HARMLESS_FIRST), weak_engine()
    found = label(seam(variant="released_code"), strong, weak)
    assert found.detail["nodes"][-1]["chain"] == [HARMLESS_FIRST[rank] for rank in ranks]
    assert (found.detail["calls_strong"], len(strong.requests)) == (calls, requests)
    assert (found.detail["calls_weak"], len(weak.requests)) == (2, 1)
    assert found.cost.calls == requests + 1
    assert (found.detail["depth"], found.detail["backtracks"]) == (3, (calls - 17) // 4)


@pytest.mark.parametrize(
    ("confidence", "ranks"), [(CALM, (0, 1, 2)), (BACK_2, (0, 2, 1)), (BACK_3, (0, 1, 3)), (BACK_BOTH, (0, 2, 3))]
)
def test_the_paper_allows_a_rejected_principle_at_deeper_levels(
    confidence: dict[int, list[float]], ranks: tuple[int, ...]
) -> None:
    found = label(seam(), strong_engine(confidence))
    assert found.detail["nodes"][-1]["chain"] == [NAMES[rank] for rank in ranks]


def test_edge_weights_are_probabilities_of_the_principles_outside_the_chain() -> None:
    strong = RecordingEngine(strong_engine(BACK_2))
    found = label(seam(), strong)
    ranked = [each for each in strong.candidates if len(each) > 2]
    assert [len(each) for each in ranked] == [11, 10, 9]
    assert f" {NAMES[0]}" not in ranked[1]
    assert {f" {NAMES[0]}", f" {NAMES[2]}"}.isdisjoint(ranked[2])
    first = found.detail["nodes"][0]["weight"]
    assert first == pytest.approx(1 / sum(2.0**-rank for rank in range(11)))


def test_static_edge_weights_are_scored_once() -> None:
    strong = RecordingEngine(strong_engine(BACK_BOTH))
    label(seam(edge_weights="static"), strong)
    assert [len(each) for each in strong.candidates if len(each) > 2] == [11]


def test_both_variants_rank_principles_by_their_first_tokens_and_the_code_scores_the_end_of_turn() -> None:
    paper, code, full_name = (RecordingEngine(strong_engine(CALM)) for _ in range(3))
    label(seam(), paper)
    label(seam(variant="released_code"), code)
    label(seam(principle_scoring="full_name"), full_name)
    assert paper.options == {(True, False), (False, False)}
    assert code.options == {(True, False), (False, True)}
    assert full_name.options == {(False, False)}


def test_principles_of_the_chain_are_left_out_of_the_ranking_prompt() -> None:
    strong = strong_engine(BACK_2)
    label(seam(), strong)
    rankings = [text(each) for each in strong.requests if is_ranking(each)]
    used = [(), (NAMES[0],), (NAMES[0], NAMES[2])]  # NAMES[1] was backtracked from, so it is not in the chain
    for prompt, chain in zip(rankings, used, strict=True):
        listed = [
            line.split(":")[0] for line in prompt.split("<principles>\n")[1].split("\n</principles>")[0].splitlines()
        ]
        demonstrated = [
            line.split(": ")[1] for line in prompt.splitlines() if line.startswith("The principle that matters")
        ]
        assert listed == demonstrated == [name for name in NAMES if name not in chain]
        assert not any(name in prompt for name in chain)


def test_names_with_the_same_first_token_tie_and_the_list_decides() -> None:
    # `No Risk Information` (7th) and `No NSFW Content` (9th) share their first token, which has the highest weight
    def score(request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        if is_ranking(request):
            return [5.0 if name.split()[0] == "No" else 1.0 for name in candidates]
        return for_good(request, 0.6 + 0.1 * len(chain_of(request)))

    found = label(seam(), ScriptedEngine(reply=lambda _: "Response 1 is good.", choice_weights=score))
    nodes = found.detail["nodes"]
    assert nodes[-1]["chain"] == ["No Risk Information", "No NSFW Content", "Informative"]
    # 2 of 11 names have weight 5: 5 / (2 * 5 + 9); then one of 10: 5 / (5 + 9); then 9 equal ones
    assert [node["weight"] for node in nodes] == pytest.approx([5 / 19, 5 / 14, 1 / 9])


def test_the_search_of_figure_3() -> None:
    # n2 with p = .6, n4 with .8, n5 with .7 (less information), n6 with .6 (less again: the search stops)
    strong, weak = strong_engine({1: [0.6], 2: [0.8], 3: [0.7, 0.6]}), weak_engine()
    found = label(seam(), strong, weak)
    n2, n4, n5, n6 = found.detail["nodes"]
    assert [(node["chain"], node["kept"]) for node in (n2, n4, n5, n6)] == [
        (NAMES[:1], True),
        (NAMES[:2], True),
        (NAMES[:3], False),
        ([*NAMES[:2], NAMES[3]], False),
    ]
    # 1 - H(.6) = 0.0290, 1 - H(.8) = 0.2781, 1 - H(.7) = 0.1187 bits
    assert [node["information"] for node in (n2, n4, n5, n6)] == pytest.approx(
        [0.0290, 0.2781, 0.1187, 0.0290], abs=5e-5
    )
    assert (found.detail["depth"], found.detail["backtracks"]) == (2, 1)
    assert found.detail["score"] == pytest.approx((0.0290 + 0.2781) / 2, abs=5e-5)
    assert chain_of(weak.requests[0]) == tuple(NAMES[:2])


def test_after_a_gain_of_zero_the_paper_takes_the_deeper_node_and_the_code_the_first() -> None:
    confidence = {1: [0.7], 2: [0.7], 3: [0.9]}
    paper = label(seam(), strong_engine(confidence, HARMLESS_FIRST))
    code = label(seam(node_selection="unbroken_gain"), strong_engine(confidence, HARMLESS_FIRST))
    assert (paper.detail["depth"], code.detail["depth"]) == (3, 1)
    # 1 - H(.7) = 0.1187, 1 - H(.9) = 0.5310
    assert paper.detail["score"] == pytest.approx((0.1187 + 0.5310) / 2, abs=5e-5)
    assert code.detail["score"] == pytest.approx(0.1187, abs=5e-5)


def test_an_explicit_setting_overrides_the_variant_and_nothing_else() -> None:
    rules = seam(variant="released_code", presentation_order="both", early_stop=True).resolve_variant()
    assert (rules.presentation_order, rules.early_stop) == ("both", True)
    assert (rules.edge_weights, rules.helpful_only_labeler, rules.allow_reused_principles) == (
        "static",
        "strong",
        False,
    )
    assert seam(allow_reused_principles=False).resolve_variant() == replace(
        seam().resolve_variant(), allow_reused_principles=False
    )


def test_the_strong_model_labels_a_chain_without_harmless_principles() -> None:
    weak = weak_engine(share=0.1)
    helpful = label(seam(variant="released_code"), strong_engine(CALM), weak)
    assert (helpful.detail["decided_by"], helpful.choice, weak.requests) == ("strong", PAIR.human, [])
    harmless = label(seam(variant="released_code"), strong_engine(CALM, HARMLESS_FIRST), weak_engine(share=0.1))
    assert (harmless.detail["decided_by"], harmless.choice) == ("weak", "b" if PAIR.human == "a" else "a")
    assert label(seam(), strong_engine(CALM), weak_engine(share=0.1)).detail["decided_by"] == "weak"


def test_in_the_released_code_the_strong_pick_is_first_and_labels_stay_with_their_responses() -> None:
    asked = [
        Pair.from_responses(build_user_prompt(f"Question {index}?"), "a good answer", f"poor answer {index}", "first")
        for index in range(12)
    ]
    annotator = seam(variant="released_code", helpful_only_labeler="weak")
    for each in asked:
        weak = weak_engine()
        found = label(annotator, strong_engine(CALM), weak, each)
        assert last_case(weak.requests[0])[0] == "a good answer"
        assert (found.detail["first"], found.choice) == (each.human, each.human)
        assert (found.detail["strong_p_a"] > 0.5) == (each.human == "a")
    assert {each.human for each in asked} == {"a", "b"}


@pytest.mark.parametrize(
    ("shares", "pick"),
    [((0.9, 0.7), 0.9), ((0.6, 0.8), 0.2), ((0.7, 0.2), 0.8), ((0.7, 0.7), 0.5), ((0.7, 0.3), 0.7), ((0.5, 0.5), 0.5)],
)
def test_the_strong_pick_comes_from_the_more_confident_order(shares: tuple[float, float], pick: float) -> None:
    left = list(shares)
    engine = ScriptedEngine(choice_weights=lambda *_: [share := left.pop(0), 1 - share])
    case = OrderedPair(conversation="User: Hello?", first="one", second="two")
    assert score_strong_picks(engine, [case], load_principles(), VARIANTS["paper"])[0].p_first == pytest.approx(pick)


def test_the_strong_pick_is_requested_only_for_pairs_that_it_labels() -> None:
    settings: dict[str, Any] = {"helpful_only_labeler": "strong"}
    strong = strong_engine(CALM, HARMLESS_FIRST)
    found = label(seam(**settings), strong)
    assert found.detail["decided_by"] == "weak"
    assert not any(is_pick(each) for each in strong.requests)
    assert found == label(seam(), strong_engine(CALM, HARMLESS_FIRST))
    strong = strong_engine(CALM)
    found = label(seam(**settings), strong)
    assert (found.detail["decided_by"], found.detail["strong_p_a"]) == ("strong", found.p_a)
    assert [is_pick(each) for each in strong.requests].index(True) == len(
        strong.requests
    ) - 2  # both orders, at the end
    treeless = ScriptedEngine(reply=lambda _: "Said.", choice_weights=lambda request, _: for_good(request, 0.9))
    label(seam(**settings, tree=False), treeless)
    assert len(treeless.requests) == 2  # a thought and its judgment


def test_a_failed_pick_fails_no_pair_that_the_weak_model_labels() -> None:
    def pickless(order: list[str]) -> Any:
        inner = strong_engine(CALM, order)

        class Pickless(ScriptedEngine):
            def score_choices(self, requests: Sequence[EngineRequest], *args: Any, **how: Any) -> list[ChoiceScores]:
                failed = ChoiceScores(probabilities=(), status="failed", note="no pick")
                found = inner.score_choices(requests, *args, **how)
                return [failed if is_pick(each) else answer for each, answer in zip(requests, found, strict=True)]

        return Pickless(reply=inner.reply_fn)

    settings: dict[str, Any] = {"helpful_only_labeler": "strong"}
    assert label(seam(**settings), pickless(HARMLESS_FIRST)).status == "ok"
    found = label(seam(**settings), pickless(NAMES))
    assert (found.status, found.note) == ("failed", "no pick")


def test_a_single_candidate_is_not_ranked(tmp_path: Path) -> None:
    path = custom_principles(tmp_path, "Brief", "Calm")
    strong = RecordingEngine(strong_engine(CALM, ["Calm", "Brief"]))
    found = label(seam(principles=path), strong)
    assert [len(each) for each in strong.candidates if each[0].strip() in ("Brief", "Calm")] == [2]
    assert [(each["chain"], each["weight"]) for each in found.detail["nodes"]] == [
        (["Calm"], pytest.approx(2 / 3)),
        (["Calm", "Brief"], 1.0),
    ]


def test_only_the_pruned_chain_determines_the_labeler() -> None:
    order = [
        NAMES[0],
        NAMES[9],
        *NAMES[1:9],
        NAMES[10],
    ]  # the second, Objective, has less information, and so does its replacement
    confidence = {1: [0.7], 2: [0.6, 0.6], 3: [0.9, 0.9]}
    found = label(seam(variant="released_code", allow_reused_principles=True), strong_engine(confidence, order))
    assert (found.detail["depth"], found.detail["decided_by"]) == (1, "strong")


def test_the_paper_never_requests_the_strong_pick() -> None:
    strong = strong_engine(CALM)
    found = label(seam(), strong)
    assert all(is_ranking(each) or is_judgment(each) or not each.prefill.startswith("The") for each in strong.requests)
    assert found.detail["strong_p_a"] is None


def test_the_label_has_the_weak_models_log_odds() -> None:
    found = label(seam(), strong_engine(CALM), weak_engine(share=0.8))
    p_a, margin = (0.8, 1.3862943611) if PAIR.human == "a" else (0.2, -1.3862943611)
    assert found.p_a == pytest.approx(p_a)
    assert found.margin == pytest.approx(margin)


def test_both_orders_cancel_position_bias() -> None:
    first = ScriptedEngine(choice_weights=lambda request, _: [0.9, 0.1])
    found = label(seam(presentation_order="both"), strong_engine(CALM), first)
    assert (found.status, found.note) == ("abstained", "tie of the weak model")
    assert found.detail["p_a_by_order"] == pytest.approx({"a_first": 0.9, "b_first": 0.1})
    assert found.detail["order_inconsistent"] is True
    once = label(seam(), strong_engine(CALM), first)
    assert once.status == "ok"
    assert list(once.detail["p_a_by_order"].values()) == [once.p_a]
    assert "order_inconsistent" not in once.detail


def test_labels_that_agree_in_both_orders_are_consistent() -> None:
    found = label(seam(presentation_order="both"), strong_engine(CALM), weak_engine(share=0.8))
    assert found.detail["order_inconsistent"] is False
    assert found.detail["p_a_by_order"] == pytest.approx({"a_first": found.p_a, "b_first": found.p_a})


def test_the_training_task_is_the_judgment_without_principles_or_thought() -> None:
    exam = Seam().training_task()
    asked = exam.prompt.build_verdict_request(PAIR, "b_first")
    assert asked == build_judgment_request(OrderedPair.from_pair(PAIR, a_first=False), (), ())
    assert [asked.prefill + each for each in exam.prompt.candidates] == [
        "The better response is: Response 1",
        "The better response is: Response 2",
    ]


def test_the_thought_is_renumbered_for_swapped_responses() -> None:
    weak = weak_engine()
    label(seam(presentation_order="both"), strong_engine(CALM), weak)
    there, back = weak.requests
    assert last_case(there) == last_case(back)[::-1]
    assert "Response 1 is good, Response 2 is poor." in text(there)
    assert "Response 2 is good, Response 1 is poor." in text(back)


def test_a_thought_has_the_prefix_of_the_examples() -> None:
    strong = strong_engine(CALM)
    found = label(seam(), strong)
    (asked, *_) = [each for each in strong.requests if each.prefill.startswith("<explanation>")]
    assert asked.prefill == "<explanation>\nResponse 1:"
    assert text(asked).count("<explanation>\nResponse 1: ") == 2
    assert all(each["thought"][0].startswith("Response 1: ") for each in found.detail["nodes"])


def test_the_pair_comes_last_except_for_the_task_of_two_explanations() -> None:
    case, chain = OrderedPair.from_pair(PAIR, a_first=True), list(load_principles())[:2]
    (open_,) = build_thought_requests(case, chain, per_response=False)
    assert text(open_).rstrip().endswith(case.render())
    there, back = (text(each) for each in build_thought_requests(case, chain, per_response=True))
    shared = there[: there.index("Explain in a few sentences why Response 1 is better")]
    assert shared.rstrip().endswith(case.render())
    assert back.startswith(f"{shared}Explain in a few sentences why Response 2 is better")


@pytest.mark.parametrize(
    "settings", [{}, {"presentation_order": "both"}, {"variant": "released_code"}, {"explanations": "per_response"}]
)
def test_swapped_responses_swap_the_label(settings: dict[str, Any]) -> None:
    inputs = AnnotatorInputs(engines={"strong": hashing_engine(), "weak": hashing_engine()})
    there = seam(**settings).annotate(pairs(30), inputs)
    back = seam(**settings).annotate([replace(each, a=each.b, b=each.a) for each in pairs(30)], inputs)
    assert {each.choice for each in there} == {"a", "b"}
    for one, other in zip(there, back, strict=True):
        assert one.p_a is not None
        assert other.p_a == pytest.approx(1 - one.p_a)
        assert other.detail["nodes"] == one.detail["nodes"]


@pytest.mark.parametrize(
    "settings",
    [
        {"node_selection": "unbroken_gain"},
        {"node_selection": "unbroken_gain", "edge_weights": "static", "allow_reused_principles": False},
        {"variant": "released_code"},
    ],
)
def test_stopping_early_changes_no_label_if_the_gain_must_be_unbroken(settings: dict[str, Any]) -> None:
    inputs = AnnotatorInputs(engines={"strong": hashing_engine(), "weak": hashing_engine()})
    early = seam(**settings, early_stop=True).annotate(pairs(60), inputs)
    whole = seam(**settings, early_stop=False).annotate(pairs(60), inputs)
    facts = ("depth", "score", "decided_by")
    assert [(each.p_a, *map(each.detail.get, facts)) for each in early] == [
        (each.p_a, *map(each.detail.get, facts)) for each in whole
    ]
    assert sum(each.detail["calls_strong"] for each in early) < sum(each.detail["calls_strong"] for each in whole)


def test_a_label_is_independent_of_other_pairs() -> None:
    inputs = AnnotatorInputs(engines={"strong": hashing_engine(), "weak": hashing_engine()})
    together = seam().annotate(pairs(12), inputs)
    assert [seam().annotate([each], inputs)[0] for each in pairs(12)] == together
    assert seam().annotate([], inputs) == []


def test_a_search_round_makes_one_call_of_each_kind_for_all_pairs() -> None:
    strong, weak = RecordingEngine(hashing_engine()), RecordingEngine(hashing_engine())
    seam().annotate(pairs(40), AnnotatorInputs(engines={"strong": strong, "weak": weak}))
    assert strong.calls[:3] == [("score_choices", 40), ("generate", 40), ("score_choices", 40)]
    writes = [count for kind, count in strong.calls if kind == "generate"]
    assert len(writes) <= 5
    assert writes == sorted(writes, reverse=True)
    assert weak.calls == [("score_choices", 40)]


def test_the_paper_variant_ignores_logprobs_and_token_counts() -> None:
    plain = label(seam(), hashing_engine(), hashing_engine())

    def odd(weighing: ChoiceScores) -> ChoiceScores:
        return replace(weighing, logprobs=None, tokens=tuple(range(3, 3 + len(weighing.probabilities))))

    assert (
        label(seam(), RecordingEngine(hashing_engine(), weighing=odd), RecordingEngine(hashing_engine(), weighing=odd))
        == plain
    )


def test_a_label_states_the_smallest_number_of_samples_in_its_search() -> None:
    plain = label(seam(), hashing_engine(), hashing_engine())

    def counted(ranking: int, judgment_: int) -> RecordingEngine:
        def weighing(each: ChoiceScores) -> ChoiceScores:
            return replace(each, logprobs=None, samples=ranking if len(each.probabilities) > 2 else judgment_)

        return RecordingEngine(hashing_engine(), weighing=weighing)

    for strong, weak, fewest in ((counted(5, 8), hashing_engine(), 5), (hashing_engine(), counted(8, 3), 3)):
        found = label(seam(), strong, weak)
        assert (found.p_a, found.detail["samples"], found.note) == (
            plain.p_a,
            fewest,
            f"probabilities estimated from {fewest} samples",
        )
    assert "samples" not in plain.detail
    assert plain.note == ""


def test_without_backtracking_every_level_is_tried_once_and_none_ends_the_search() -> None:
    found = label(seam(backtracking=False), strong_engine({1: [0.7], 2: [0.6], 3: [0.65]}))
    assert (found.detail["backtracks"], found.detail["depth"]) == (0, 3)
    assert [node["kept"] for node in found.detail["nodes"]] == [True, False, True]


def test_without_thoughts_the_weak_model_sees_the_chain_alone() -> None:
    strong, weak = strong_engine(CALM), weak_engine()
    label(seam(include_thoughts=False), strong, weak)
    expected = "Response 1 is good, Response 2 is poor."
    assert any(expected in text(each) for each in strong.requests)
    assert not any(expected in text(each) for each in weak.requests)
    assert chain_of(weak.requests[0]) == tuple(NAMES[:3])
    assert text(weak.requests[0]).count("Example ") == 2
    assert "<explanation>" not in text(weak.requests[0])
    assert all(text(each).count("<explanation>") == 3 for each in strong.requests if is_judgment(each))


def test_a_pair_is_read_in_the_order_of_the_baselines() -> None:
    weak = weak_engine()
    inputs = AnnotatorInputs(engines={"strong": strong_engine(CALM), "weak": weak})
    orders = [found.detail["first"] for found in seam().annotate(pairs(12), inputs)]
    baseline = Prompted.model_validate({"weak": {"kind": "scripted"}, "presentation_order": "random"})
    made = baseline.annotate(pairs(12), AnnotatorInputs(engines={"weak": weak_engine()}))
    assert [f"{first}_first" for first in orders] == [next(iter(found.detail["p_a_by_order"])) for found in made]
    assert set(orders) == {"a", "b"}


def test_without_a_tree_the_strong_model_explains_once_and_names_no_principle() -> None:
    strong = ScriptedEngine(reply=lambda _: "Said.", choice_weights=lambda request, _: for_good(request, 0.9))
    weak = weak_engine()
    found = label(seam(tree=False), strong, weak)
    assert [len(each["chain"]) for each in found.detail["nodes"]] == [0]
    assert (found.detail["calls_strong"], found.detail["depth"], found.detail["decided_by"]) == (3, 1, "weak")
    assert not any("principle" in text(each) for each in (*strong.requests, *weak.requests))


def test_no_tree_and_no_thoughts_is_rejected() -> None:
    with pytest.raises(StudyError, match="include_thoughts"):
        build_component(
            "annotators",
            {"kind": "seam", "tree": False, "include_thoughts": False, "weak": "scripted", "strong": "scripted"},
        )


def test_the_detail_has_the_full_tree_as_json() -> None:
    found = label(seam(explanations="per_response"), strong_engine(BACK_2))
    detail = json.loads(json.dumps(found.detail))
    assert detail == found.detail
    assert [(each["level"], each["kept"]) for each in detail["nodes"]] == [(1, True), (2, False), (2, True), (3, True)]
    assert detail["nodes"][1]["drop_reason"] == "less information than its parent; retried"
    assert all(len(each["thought"]) == 2 for each in detail["nodes"])
    stay = [each["information"] for each in detail["nodes"] if each["kept"]]
    assert detail["score"] == pytest.approx(sum(stay) / 3)


def test_a_childs_requests_share_its_parents_prefix() -> None:
    strong = strong_engine(CALM)
    label(seam(), strong)
    written = [text(each) for each in strong.requests if each.prefill.startswith("<explanation>")]
    assert len(written) == 3
    for parent, child in itertools.pairwise(written):
        assert child.startswith(parent.split("The case to explain:")[0])


def test_custom_principles_are_searched_and_change_the_content_hash(tmp_path: Path) -> None:
    path = Path(custom_principles(tmp_path, "Brief", "Calm"))
    annotator = seam(principles=str(path))
    before = annotator.content_hash()
    assert before != seam().content_hash()
    assert seam().content_hash() == hashlib.sha256(repr(load_principles()).encode()).hexdigest()[:16]
    assert (
        seam(variant="released_code").content_hash() != seam().content_hash()
    )  # means over another number of tokens are other scores
    found = label(annotator, strong_engine(CALM, ["Calm", "Brief"]))
    assert [each["chain"] for each in found.detail["nodes"]] == [["Calm"], ["Calm", "Brief"]]
    custom_principles(tmp_path, "Brief")
    assert annotator.content_hash() != before
    path.unlink()
    with pytest.raises(DataError, match=r"mine\.yaml"):
        annotator.content_hash()
