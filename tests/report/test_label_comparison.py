"""Label comparison: worked metrics, which source is more accurate, and sources without shared pairs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from scripted_run import TEST, UNLABELED, create_scripted_run

from trimtab.errors import DataError, StudyError
from trimtab.report.label_comparison.metrics import compare_label_sources, compare_labels, label_comparison_to_json
from trimtab.report.label_comparison.sources import LabelSource, LabelSourcePair, read_label_sources
from trimtab.report.label_comparison.terminal import render_label_comparison, summarize_label_comparison
from trimtab.types import Annotation, Pair, build_user_prompt


def pair(key: str, a: int, b: int, human: str | None) -> Pair:
    return Pair(id=key, prompt=build_user_prompt(f"{key}?"), a="x" * a, b="y" * b, human=human)  # type: ignore[arg-type]


# A and B agree on p, q and t and differ on r and s; B abstains on u, and only A labels v.
PAIRS = {
    item.id: item
    for item in (
        pair("p", 9, 1, "a"),
        pair("q", 4, 2, "b"),
        pair("r", 6, 1, "a"),
        pair("s", 2, 7, "b"),
        pair("t", 5, 5, "b"),
        pair("u", 3, 1, "a"),
        pair("v", 3, 2, None),
    )
}
A = {"p": 0.9, "q": 0.2, "r": 0.6, "s": 0.3, "t": 0.8, "u": 0.7, "v": 0.7}
B = {"p": 0.6, "q": 0.1, "r": 0.4, "s": 0.9, "t": 0.7, "u": None}
GOLD = {"proxy": {"p": (2.0, 1.0), "q": (0.0, 3.0), "r": (5.0, 4.5), "s": (1.0, 0.0), "t": (0.0, 0.25)}}


def labels(p_a: dict[str, float] | dict[str, float | None]) -> dict[str, Annotation]:
    return {
        key: Annotation(pair_id=key, p_a=value, status="abstained" if value is None else "ok")
        for key, value in p_a.items()
    }


def build_sources(*, pairs: bool = True, gold: bool = False) -> LabelSourcePair:
    return LabelSourcePair(
        a=LabelSource(name="A.jsonl", labels=labels(A)),
        b=LabelSource(name="B.jsonl", labels=labels(B)),
        pairs=PAIRS if pairs else {},
        gold_rewards=GOLD if gold else {},
    )


def render(content: object, width: int = 100) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(content)
    return capture.get()


@pytest.fixture(scope="module")
def scripted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_scripted_run(tmp_path_factory.mktemp("agree") / "run")


def write_labels(path: Path, p_a: dict[str, float]) -> str:
    rows = [{"id": key, "p_a": value, "margin": None, "status": "ok"} for key, value in p_a.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_agreement_is_over_the_pairs_on_which_both_prefer_a_response() -> None:
    comparison = compare_labels(build_sources())
    assert (comparison.num_shared, comparison.agreement.n) == (6, 5)
    assert comparison.agreement.value == pytest.approx(3 / 5)
    # A prefers a on p, r, t and B on p, s, t: chance is 0.6² + 0.4², and (0.6 - 0.52) / 0.48 is beyond it
    assert comparison.kappa.value == pytest.approx(1 / 6)


def test_each_subset_has_length_confidence_and_accuracy() -> None:
    subsets = compare_labels(build_sources()).subsets
    assert {name: subset.num_pairs for name, subset in subsets.items()} == {"all": 5, "match": 3, "mismatch": 2}
    values = {name: {key: metric.value for key, metric in subset.metrics.items()} for name, subset in subsets.items()}
    assert values["match"] == pytest.approx(
        {
            "share": 3 / 5,
            "confidence_a": (0.9 + 0.8 + 0.8) / 3,
            "confidence_b": (0.6 + 0.9 + 0.7) / 3,
            "accuracy_a": 2 / 3,
            "accuracy_b": 2 / 3,
            "length_difference": (8 - 2 + 0) / 3,
            "chosen_length": (9 + 2 + 5) / 3,
        }
    )
    assert values["mismatch"] == pytest.approx(
        {
            "share": 2 / 5,
            "confidence_a": (0.6 + 0.7) / 2,
            "confidence_b": (0.6 + 0.9) / 2,
            "accuracy_a": 1.0,
            "accuracy_b": 0.0,
            "length_difference": (5 + 5) / 2,
            "chosen_length": (6 + 7) / 2,
        }
    )


def test_gold_rewards_of_chosen_and_rejected_responses_average_over_the_subsets() -> None:
    subsets = compare_labels(build_sources(gold=True)).subsets
    margins = {name: subset.metrics["gold_margin.proxy"].value or 0 for name, subset in subsets.items()}
    assert margins["match"] == pytest.approx((1 + 3 - 0.25) / 3)
    assert margins["mismatch"] == pytest.approx((0.5 - 1) / 2)
    assert margins["all"] == pytest.approx(0.6 * margins["match"] + 0.4 * margins["mismatch"])
    assert subsets["mismatch"].metrics["gold_chosen.proxy"].value == pytest.approx((5.0 + 0.0) / 2)
    assert subsets["mismatch"].metrics["gold_rejected.proxy"].value == pytest.approx((4.5 + 1.0) / 2)
    # B prefers the other response of r and s
    assert subsets["mismatch"].metrics["gold_chosen_b.proxy"].value == pytest.approx((4.5 + 1.0) / 2)
    assert subsets["match"].metrics["gold_rejected_b.proxy"] == subsets["match"].metrics["gold_rejected.proxy"]
    assert subsets["all"].metrics["gold_margin_b.proxy"].value == pytest.approx((1 + 3 - 0.25 - 0.5 + 1) / 5)


def test_the_share_of_pairs_whose_chosen_response_has_the_higher_reward_counts_equal_rewards_one_half() -> None:
    sources = build_sources(gold=True)
    comparison = compare_labels(sources)
    rates = {name: subset.metrics["gold_higher.proxy"] for name, subset in comparison.subsets.items()}
    # A's choice is higher on p, q and r, and lower on t and s
    assert {name: rate.value for name, rate in rates.items()} == pytest.approx(
        {"all": 3 / 5, "match": 2 / 3, "mismatch": 1 / 2}
    )
    assert summarize_label_comparison(comparison)[-1] == (
        "If they differ, A prefers the response with the higher reward by proxy on 0.500 [0.002, 0.998] of 2 pairs."
    )
    with_tie = {"proxy": {**GOLD["proxy"], "r": (5.0, 5.0)}}
    without = {key: rewards for key, rewards in with_tie["proxy"].items() if key != "s"}
    rate = (
        compare_labels(replace(sources, gold_rewards={"proxy": without}))
        .subsets["mismatch"]
        .metrics["gold_higher.proxy"]
    )
    assert (rate.value, rate.n, rate.n_failed) == (0.5, 1, 1)


def test_pairs_are_binned_and_equal_values_share_a_bin() -> None:
    bins = compare_labels(build_sources(), "confidence").bins
    # the confidence of A is 0.6, 0.7, 0.8, 0.8, 0.9 on r, s, q, t, p
    assert [(pair_bin.low, pair_bin.high, pair_bin.metrics["agreement"].n) for pair_bin in bins] == [
        (0.6, 0.7, 2),
        (0.8, 0.8, 2),
        (0.9, 0.9, 1),
    ]
    assert [pair_bin.metrics["agreement"].value for pair_bin in bins] == [0.0, 1.0, 1.0]
    assert [pair_bin.metrics["accuracy_a"].value for pair_bin in bins] == [1.0, 0.5, 1.0]


@pytest.mark.parametrize(("by", "first"), [("length", (0, 2)), ("gold", (0.25, 0.5))])
def test_pairs_can_be_binned_by_length_and_by_gold_reward(by: str, first: tuple[float, float]) -> None:
    bins = compare_labels(build_sources(gold=True), by).bins  # type: ignore[arg-type]
    assert (bins[0].low, bins[0].high) == first
    assert sum(pair_bin.metrics["agreement"].n for pair_bin in bins) == 5


@pytest.mark.parametrize(("by", "message"), [("length", "--pairs FILE"), ("gold", "these pairs have no gold rewards")])
def test_the_bin_variable_must_be_known(by: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        compare_labels(build_sources(pairs=False), by)  # type: ignore[arg-type]


def test_without_pairs_there_are_agreement_and_confidence_and_a_note_on_the_rest() -> None:
    comparison = compare_labels(build_sources(pairs=False))
    assert set(comparison.subsets["all"].metrics) == {"share", "confidence_a", "confidence_b"}
    assert "require the pairs" in comparison.notes[0]


def test_an_interval_that_contains_chance_is_inconclusive() -> None:
    assert summarize_label_comparison(compare_labels(build_sources()))[1] == (
        "If they differ, the human label agrees with A on 1.000 [0.012, 1.000] of 2 pairs: inconclusive."
    )


def test_the_source_that_human_labels_agree_with_is_more_accurate() -> None:
    many = {f"{index:02}": pair(f"{index:02}", 2, 1, "b" if index % 5 else "a") for index in range(40)}
    sources = [
        LabelSource(name=name, labels=labels(dict.fromkeys(many, p_a))) for name, p_a in (("x", 0.9), ("y", 0.1))
    ]
    (_, sentence) = summarize_label_comparison(compare_labels(LabelSourcePair(a=sources[0], b=sources[1], pairs=many)))
    assert sentence.endswith("the human label agrees with A on 0.200 [0.102, 0.355] of 40 pairs: B is more accurate.")


def test_the_tables_fit_80_columns_and_show_every_metric() -> None:
    text = render(render_label_comparison(compare_labels(build_sources(gold=True), "confidence")), 80)
    assert max(map(len, text.splitlines())) <= 80
    for expected in ("match, 3 pairs", "accuracy of B", "proxy: margin", "confidence", "0.8 to 0.8"):
        assert expected in text
    assert text.count("[") == text.count("]")  # no interval is cut off


def test_a_label_file_and_an_arm_of_a_run_are_compared_on_the_pairs_of_the_run(
    scripted_run: Path, tmp_path: Path
) -> None:
    p_a = {pair.id: 0.9 if pair.human == "a" else 0.1 for pair in UNLABELED}
    output = tmp_path / "comparison.json"
    comparison = compare_label_sources(
        write_labels(tmp_path / "l.jsonl", p_a), f"{scripted_run}:human", "length", None, output
    )
    assert (comparison.agreement.value, comparison.agreement.n) == (1.0, len(UNLABELED))
    assert (comparison.b.is_human, comparison.subsets["mismatch"].num_pairs) == (True, 0)
    document = json.loads(output.read_text(encoding="utf-8"))
    assert document["agreement"] == {"value": 1.0, "low": comparison.agreement.low, "high": 1.0, "n": 5, "n_failed": 0}
    assert document["subsets"]["match"]["num_pairs"] == 5
    assert document == json.loads(json.dumps(label_comparison_to_json(comparison)))


def test_human_labels_are_a_source_if_the_pairs_are_known(scripted_run: Path, tmp_path: Path) -> None:
    assert compare_label_sources(f"{scripted_run}:seam", "human", None, None, None).b.num_labels == len(UNLABELED)
    file = write_labels(tmp_path / "l.jsonl", {pair.id: 0.9 for pair in UNLABELED})
    with pytest.raises(DataError, match="human: there are no human labels: no pairs are given"):
        compare_label_sources(file, "human", None, None, None)


def test_labels_for_another_split_are_refused_with_its_name(scripted_run: Path, tmp_path: Path) -> None:
    file = write_labels(tmp_path / "l.jsonl", {pair.id: 0.9 for pair in TEST})
    with pytest.raises(
        DataError, match=r"none of its 1 labels is for a pair in the unlabeled pairs .* for pairs of its test split"
    ):
        read_label_sources(file, f"{scripted_run}:human", None)


def test_labels_for_other_pairs_are_refused_with_and_without_known_pairs(scripted_run: Path, tmp_path: Path) -> None:
    here, there = write_labels(tmp_path / "x.jsonl", {"x": 0.9}), write_labels(tmp_path / "y.jsonl", {"y": 0.9})
    with pytest.raises(DataError, match="labels are for other pairs or another split"):
        read_label_sources(here, f"{scripted_run}:human", None)
    with pytest.raises(DataError, match="label no pair in common: 1 and 1 pairs"):
        read_label_sources(here, there, None)


def test_sources_without_a_pair_on_which_both_have_a_choice_are_refused() -> None:
    abstaining = LabelSource(name="B", labels=labels({"p": None, "q": 0.5}))
    with pytest.raises(DataError, match="share 2 pairs, but none on which both sources prefer a response"):
        compare_labels(LabelSourcePair(a=LabelSource(name="A", labels=labels(A)), b=abstaining))


def test_labels_for_other_pairs_are_left_out_and_counted(scripted_run: Path, tmp_path: Path) -> None:
    file = write_labels(tmp_path / "l.jsonl", {**{pair.id: 0.9 for pair in UNLABELED}, "unknown": 0.9})
    comparison = compare_label_sources(file, f"{scripted_run}:human", None, None, None)
    assert comparison.num_shared == len(UNLABELED)
    assert comparison.notes == (f"1 of the 6 labels of {file} are for other pairs and left out",)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{run}", r"add the name of an arm, as in .*:ARM \(arms: human, seam, "),
        ("{run}:base", r"there is no arm 'base' with labels \(arms: human"),
        ("nowhere.jsonl", "not an existing label file, and not DIR:ARM"),
        ("nowhere:weak", "not an existing label file, and not DIR:ARM"),
    ],
)
def test_an_invalid_source_is_refused_with_the_valid_ones(scripted_run: Path, source: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        read_label_sources(source.format(run=scripted_run), f"{scripted_run}:human", None)


def test_the_bin_variable_is_checked_before_any_file_is_read() -> None:
    with pytest.raises(StudyError, match=r"--by confidance: expected one of .*did you mean 'confidence'"):
        compare_label_sources("nowhere", "nowhere", "confidance", None, None)
