"""`trimtab show`: the rendered pair, safe handling of untrusted text, and redaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from large_run import create_large_run
from rich.console import Console, Group, RenderableType
from scripted_run import (
    BACKTRACKED_PAIR,
    LABELED,
    PLAIN_PAIRS,
    SILENT_PAIR,
    TEST,
    THOUGHT,
    UNLABELED,
    create_runtime,
    create_scripted_run,
)

from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, StoreError, StudyError
from trimtab.pipeline.stage import Stage
from trimtab.report.pair_view.details import render_detail
from trimtab.report.pair_view.excerpt import MAX_CHARACTERS, format_excerpt
from trimtab.report.pair_view.judge_votes import VerdictRow, build_verdict_rows
from trimtab.report.pair_view.model import load_pair_view, unique_prefix_length
from trimtab.report.pair_view.provenance import describe_provenance
from trimtab.report.pair_view.selection import select_interesting_pairs
from trimtab.report.pair_view.terminal import render_show_command
from trimtab.report.run_reader import Run
from trimtab.storage.artifacts import Store
from trimtab.storage.verdict_schema import VERDICT_SCHEMA, verdicts_to_rows
from trimtab.types import Annotation, SingleVerdict, Verdict


@pytest.fixture(scope="module")
def scripted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by many tests; read-only."""
    return create_scripted_run(tmp_path_factory.mktemp("made") / "run")


def render(content: RenderableType, width: int = 160) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(content)
    return capture.get()


def section(text: str, heading: str) -> str:
    """The section that starts with this heading, up to the next empty line."""
    return text[text.index(heading) :].split("\n\n", maxsplit=1)[0]


def test_a_pair_is_found_by_a_unique_id_prefix(scripted_run: Path) -> None:
    view = load_pair_view(Run(scripted_run), BACKTRACKED_PAIR.id[:8])
    assert (view.pair, view.split) == (BACKTRACKED_PAIR, "unlabeled")
    assert [label.arm for label in view.labels] == ["human", "seam", "seam_filtered", "debate", "consultancy"]


def test_an_ambiguous_id_prefix_is_refused_with_some_matches(scripted_run: Path) -> None:
    with pytest.raises(DataError, match=r"pair '': 7 ids start with it \(.* and 3 more\); use a longer prefix"):
        load_pair_view(Run(scripted_run), "")


def test_an_unknown_id_prefix_is_refused_with_the_nearest_ids_first(scripted_run: Path) -> None:
    near = BACKTRACKED_PAIR.id[:8]
    with pytest.raises(DataError, match=rf"pair '{near}zz': no id starts with it \(nearest: {near}, "):
        load_pair_view(Run(scripted_run), near + "zz")


def test_an_unknown_arm_is_refused_with_the_known_ones(scripted_run: Path) -> None:
    for pair in (BACKTRACKED_PAIR.id, None):
        with pytest.raises(StudyError, match=r"--arm seem: there is no such arm \(arms: human, seam, "):
            render_show_command(scripted_run, pair, "seem")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no finished run"):
        render_show_command(tmp_path, None)


def test_labels_in_an_old_format_are_refused_with_their_folder(tmp_path: Path) -> None:
    folder = create_scripted_run(tmp_path / "run")
    (labels,) = folder.glob("stages/annotate.debate-*")
    table = pq.read_table(labels / "annotations.parquet")
    pq.write_table(table.drop_columns(["calls"]), labels / "annotations.parquet")
    record = json.loads((labels / "record.json").read_text())
    old_record = {name: value for name, value in record.items() if name not in ("files", "checksum")}
    (labels / "record.json").write_text(json.dumps(old_record))
    for pair in (None, BACKTRACKED_PAIR.id):
        with pytest.raises(
            StoreError, match=rf"{labels.name}/annotations.parquet has no column 'calls', so an earlier version"
        ):
            render_show_command(folder, pair)


def test_short_ids_are_the_shortest_unique_prefixes() -> None:
    assert unique_prefix_length(["abcd", "abce", "b"], min_length=2) == 4
    assert unique_prefix_length(["ab", "cd"], min_length=2) == 2
    assert unique_prefix_length([], min_length=2) == 2


def test_texts_are_printed_verbatim_and_control_codes_as_symbols(scripted_run: Path) -> None:
    text = render(render_show_command(scripted_run, BACKTRACKED_PAIR.id))
    assert "Is [bold red]tea[/bold red] <script>alert('x')</script> ␛[2J good?" in text
    assert "a good [/x] answer" in text
    assert THOUGHT in text
    assert "\x1b" not in text


def test_without_text_no_text_of_the_pair_or_of_models_is_shown(scripted_run: Path) -> None:
    for pair in (BACKTRACKED_PAIR, PLAIN_PAIRS[0]):
        text = render(render_show_command(scripted_run, pair.id, show_text=False))
        for hidden in ("tea", "calm", "answer", "Response 2", "conversation"):
            assert hidden not in text
        assert "2 backtracks" in text or "0 backtracks" in text


def test_every_arm_has_a_row_with_the_result_of_its_filter(scripted_run: Path) -> None:
    labels = {label.arm: label for label in load_pair_view(Run(scripted_run), BACKTRACKED_PAIR.id).labels}
    assert labels["seam"].label == labels["seam_filtered"].label
    assert [(label.filter, label.passed_filter) for label in (labels["seam"], labels["seam_filtered"])] == [
        ("", True),
        ("information", False),
    ]
    passed = [
        load_pair_view(Run(scripted_run), pair.id, "seam_filtered").labels[0].passed_filter for pair in PLAIN_PAIRS
    ]
    assert sorted(passed) == [False, True, True]  # ceil(4 / 2) of four trees of the same score, by pair id
    text = render(render_show_command(scripted_run, BACKTRACKED_PAIR.id))
    assert text.count("dropped by information") == 1


def test_a_tree_is_shown_once_for_all_arms_that_share_it(scripted_run: Path) -> None:
    text = render(render_show_command(scripted_run, BACKTRACKED_PAIR.id))
    assert text.count("backtracks") == 1
    tree = section(text, "seam, seam_filtered by seam")
    lines = [line.strip(" │├└─") for line in tree.splitlines()]
    nodes = [line for line in lines if " weight " in line]
    assert [line.split()[0] for line in nodes] == ["Informative", "Engaging", "Logical", "Engaging", "Candor"]
    assert [line.endswith(", kept") for line in nodes] == [True, False, True, False, True]
    assert nodes[1].endswith("dropped: less information than its parent; retried")
    # the strong model gives b 0.6, 0.7, 0.8: 1 - H is 0.029, 0.119, 0.278, with mean 0.142
    assert (BACKTRACKED_PAIR.human, [line.split(" bits, p_a ")[0][-5:] for line in nodes if line.endswith("kept")]) == (
        "b",
        ["0.029", "0.119", "0.278"],
    )
    assert "p_a 0.200, kept" in nodes[-1]
    assert "5 nodes, 3 kept, 2 backtracks; score 0.142 bits (used by the filter `information`)" in tree
    assert "The weak model decided given Informative → Logical → Candor: p_a 0.700." in tree


def test_arguments_are_shown_by_order_and_side(scripted_run: Path) -> None:
    text = render(render_show_command(scripted_run, BACKTRACKED_PAIR.id))
    debate, consultancy = section(text, "debate by debate"), section(text, "consultancy by consultancy")
    assert "p_a 0.200 with a first, p_a 0.200 with b first" in debate
    for heading in (
        "argument for a, a first:",
        "argument for b, a first:",
        "argument for a, b first:",
        "argument for b, b first:",
    ):
        assert heading in debate
    assert "the strong model argued for b" in consultancy
    assert "strong model's own label: p_a 0.100" in consultancy
    assert "argument for a, a first:" not in consultancy


def test_a_single_arm_can_be_shown(scripted_run: Path) -> None:
    text = render(render_show_command(scripted_run, BACKTRACKED_PAIR.id, "debate"))
    assert "by debate" in text and "by seam" not in text


def test_a_failed_label_says_why_and_that_neither_model_decided(scripted_run: Path) -> None:
    text = render(render_show_command(scripted_run, SILENT_PAIR.id))
    assert "the strong model generated no thought" in text
    assert "empty thought" in text
    assert "Neither model decided." in text


def test_a_pair_without_labels_is_shown(scripted_run: Path) -> None:
    text = render(render_show_command(scripted_run, LABELED[0].id))
    assert ", labeled: human label " in text
    assert "No arm has a label for this pair." in text


def test_a_test_pair_is_shown_with_the_predictions_of_models(scripted_run: Path) -> None:
    view = load_pair_view(Run(scripted_run), TEST[0].id)
    assert [(label.arm, label.annotator, label.filter, label.passed_filter) for label in view.labels] == [
        ("weak_model", "prediction of its model", "", True)
    ]
    assert "3 nodes, 3 kept, 0 backtracks" in render(render_show_command(scripted_run, TEST[0].id))


def test_the_list_has_the_pairs_with_the_most_disagreement_and_the_most_backtracks(scripted_run: Path) -> None:
    selected = select_interesting_pairs(Run(scripted_run))
    (disagreement,), (backtracked,) = selected.most_disagreement, selected.most_backtracks
    assert BACKTRACKED_PAIR.id.startswith(disagreement.short_id) and disagreement.short_id == backtracked.short_id
    assert disagreement.max_difference == pytest.approx(0.5)
    assert backtracked.backtracks == 2
    text = render(render_show_command(scripted_run, None))
    assert "seam, seam_filtered 0.700, debate 0.200, consultancy 0.200" in text
    assert text.rstrip().endswith(f"trimtab show {scripted_run} {disagreement.short_id}")
    assert "backtracks" in text and "reward difference" not in text, "no pair has a reward"
    assert "p_a: the probability that response a is better" in text


def test_the_list_of_one_arm_has_its_largest_disagreement_with_human_labels(scripted_run: Path) -> None:
    selected = select_interesting_pairs(Run(scripted_run), "seam")
    assert len(selected.most_disagreement) == len(UNLABELED) - 1
    assert BACKTRACKED_PAIR.id.startswith(selected.most_disagreement[0].short_id)
    assert selected.most_disagreement[0].max_difference == pytest.approx(0.7)


def test_the_list_has_pairs_whose_weak_label_differs_from_the_human_label_and_has_the_higher_reward(
    tmp_path: Path,
) -> None:
    run = Run(create_large_run(tmp_path, 60, 4, words=5))
    labels = run.annotations(run.index.stages_named("annotate.weak")[0])
    margins = {}
    for pair in run.unlabeled:
        choice, rewards = labels[pair.id].choice, run.unlabeled_rewards["gold"].get(pair.id)
        if choice and rewards and choice != pair.human:
            margins[pair.id] = (rewards[0] - rewards[1]) * (1 if choice == "a" else -1)
    expected = sorted((key for key in margins if margins[key] > 0), key=lambda key: -margins[key])[:5]
    selected = select_interesting_pairs(run)
    assert (selected.scorer, selected.compared_arms) == ("gold", "weak, weak_sure")
    assert [key.startswith(pair.short_id) for key, pair in zip(expected, selected.higher_gold, strict=True)] == [
        True
    ] * 5
    assert [pair.gold_margin for pair in selected.higher_gold] == [margins[key] for key in expected]
    text = render(render_show_command(run.folder, None))
    assert "Labels of weak, weak_sure that differ from the human label" in text
    assert f"{margins[expected[0]]:+.3f}" in text
    assert select_interesting_pairs(run, "weak_sure").compared_arms == "weak_sure"
    assert select_interesting_pairs(run, "human").higher_gold == ()


def add_verdicts(folder: Path, judge: str, verdicts: list[Verdict]) -> None:
    """Adds a judge's verdicts on unlabeled pairs to a run."""

    def execute(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
        draft.write_rows("verdicts", verdicts_to_rows(verdicts), VERDICT_SCHEMA)
        return {}

    stage = Stage(name=f"judge-unlabeled-pairs.{judge}", kind="judge", execute=execute)
    artifact = Store(folder).get_or_create(
        stage.name, stage.recipe, lambda draft: stage.execute(draft, {}, create_runtime())
    )
    index = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**index, "unlabeled_verdicts": {judge: artifact.folder.name}}))


def test_the_votes_of_a_judge_name_responses_whatever_their_order(tmp_path: Path) -> None:
    folder = create_scripted_run(tmp_path / "run")
    forward = SingleVerdict(choice="first", votes=("first", "second", "first", None))
    backward = SingleVerdict(choice="first", votes=("first", "tie", "first", "second"))
    voted = Verdict(id=BACKTRACKED_PAIR.id, outcome="tie", forward=forward, reversed=backward)
    once = Verdict(id=PLAIN_PAIRS[0].id, outcome="loss", reversed=SingleVerdict(choice="first"))
    identical = Verdict(id=PLAIN_PAIRS[1].id, outcome="tie")
    add_verdicts(folder, "gpt", [voted, once, identical])
    rows = {pair.id: build_verdict_rows(load_pair_view(Run(folder), pair.id).verdicts) for pair in UNLABELED}
    assert rows[voted.id] == [
        VerdictRow(judge="gpt", order="a first", votes="a b a –", choice="a", outcome="tie"),
        VerdictRow(judge="gpt", order="b first", votes="b tie b a", choice="b", outcome="tie"),
    ]
    assert rows[once.id] == [VerdictRow(judge="gpt", order="b first", votes="", choice="b", outcome="b")]
    assert rows[identical.id] == [VerdictRow(judge="gpt", order="", votes="", choice="", outcome="tie")]
    assert sum(map(len, rows.values())) == 4, "no other pair was judged"
    assert "a b a –" in render(render_show_command(folder, voted.id, show_text=False))
    selected = select_interesting_pairs(Run(folder))
    (divided,) = selected.divided_votes
    assert selected.judge == "gpt"
    assert divided.vote_share == pytest.approx(2 / 3)
    assert "Most divided votes of the judge gpt" in render(render_show_command(folder, None))


def test_identical_labels_leave_nothing_to_list(scripted_run: Path) -> None:
    assert "agree on every pair" in render(render_show_command(scripted_run, None, "human"))


def test_other_details_are_shown_as_yaml_and_without_sentences_if_text_is_hidden() -> None:
    label = Annotation(
        pair_id="x", p_a=0.7, detail={"arms": {"weak": 0.7}, "label_from": "strong", "quote": "two [b]words"}
    )
    full, redacted = (render(render_detail(label, show_text=text)[0]) for text in (True, False))
    assert "weak: 0.7" in full and "two [b]words" in full
    assert "weak: 0.7" in redacted and "label_from: strong" in redacted and "words" not in redacted
    assert render_detail(replace(label, detail={}), show_text=True) == []


def test_a_long_text_is_truncated_and_says_by_how_much() -> None:
    assert format_excerpt("x" * (MAX_CHARACTERS + 1_000)).plain == "x" * MAX_CHARACTERS + " … 1,000 more characters"
    assert format_excerpt("one\ntwo\nthree", max_lines=2).plain == "one\ntwo … 6 more characters"
    assert format_excerpt("one\r\ntwo\n").plain == "one\ntwo"
    assert format_excerpt("\x07\x1b\x7f\x9b\u202e\r").plain == "␇␛␡��␍"


def test_the_page_and_the_terminal_show_the_same_orders_of_a_tree(scripted_run: Path) -> None:
    (label,) = (arm_label.label for arm_label in load_pair_view(Run(scripted_run), BACKTRACKED_PAIR.id, "seam").labels)
    orders = {"a_first": 0.3, "b_first": 0.7}
    inconsistent = {**label.detail, "p_a_by_order": orders, "order_inconsistent": True}
    verdicts = "p_a 0.300 with a first, p_a 0.700 with b first; the orders disagree"
    assert describe_provenance(inconsistent)["decision"].endswith(f". Weak model: {verdicts}.")
    assert f"weak model: {verdicts}" in render(
        Group(*render_detail(replace(label, detail=inconsistent), show_text=True))
    )
    one = {**inconsistent, "p_a_by_order": {"b_first": 0.7}, "order_inconsistent": False}
    assert describe_provenance(one)["decision"].endswith(". Weak model: p_a 0.700 with b first.")
    without = {key: value for key, value in inconsistent.items() if key not in ("p_a_by_order", "order_inconsistent")}
    assert "Weak model:" not in describe_provenance(without)["decision"]
