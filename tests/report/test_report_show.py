"""One pair in a terminal: all that is known of it, shown and not obeyed, and nothing of its texts where none is wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_run import CALM, LABELED, MUTE, TEST, THOUGHT, UNLABELED, WINDING, make_run
from rich.console import Console, Group, RenderableType

from trimtab.errors import DataError, StoreError, StudyError
from trimtab.report.pair_view.details import render_detail
from trimtab.report.pair_view.excerpt import MAX_CHARACTERS, format_excerpt
from trimtab.report.pair_view.model import load_pair_view, unique_prefix_length
from trimtab.report.pair_view.provenance import describe_provenance
from trimtab.report.pair_view.selection import select_interesting_pairs
from trimtab.report.pair_view.terminal import render_show_command
from trimtab.report.run_reader import Run
from trimtab.types import Annotation


@pytest.fixture(scope="module")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by many tests and changed by none."""
    return make_run(tmp_path_factory.mktemp("made") / "run")


def rendered(what: RenderableType, width: int = 160) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def part(text: str, begins: str) -> str:
    """The passage of an annotator, up to the next empty line."""
    return text[text.index(begins) :].split("\n\n", maxsplit=1)[0]


def test_a_pair_is_found_by_a_beginning_that_no_other_has(made_run: Path) -> None:
    view = load_pair_view(Run(made_run), WINDING.id[:8])
    assert (view.pair, view.split) == (WINDING, "unlabeled")
    assert [each.arm for each in view.labels] == ["human", "seam", "seam_filtered", "debate", "consultancy"]


def test_a_beginning_of_several_ids_is_refused_with_some_of_them(made_run: Path) -> None:
    with pytest.raises(DataError, match=r"pair '': 7 ids begin so \(.* and 3 more\); give more of it"):
        load_pair_view(Run(made_run), "")


def test_a_beginning_of_no_id_is_refused_with_the_nearest_first(made_run: Path) -> None:
    near = WINDING.id[:8]
    with pytest.raises(DataError, match=rf"pair '{near}zz': no id begins so \(nearest: {near}, "):
        load_pair_view(Run(made_run), near + "zz")


def test_an_arm_that_is_not_there_is_refused_with_those_that_are(made_run: Path) -> None:
    for pair in (WINDING.id, None):
        with pytest.raises(StudyError, match=r"--arm seem: there is no such arm \(there are: human, seam, "):
            render_show_command(made_run, pair, "seem")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no finished run"):
        render_show_command(tmp_path, None)


def test_labels_that_an_earlier_version_wrote_are_refused_with_their_folder(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (labels,) = folder.glob("stages/annotate.debate-*")
    table = pq.read_table(labels / "annotations.parquet")
    pq.write_table(table.drop_columns(["calls"]), labels / "annotations.parquet")
    for pair in (None, WINDING.id):
        with pytest.raises(
            StoreError, match=rf"{labels.name}: its labels have no column 'calls', so an earlier version"
        ):
            render_show_command(folder, pair)


def test_short_ids_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    assert unique_prefix_length(["abcd", "abce", "b"], min_length=2) == 4
    assert unique_prefix_length(["ab", "cd"], min_length=2) == 2
    assert unique_prefix_length([], min_length=2) == 2


def test_texts_are_shown_as_they_are_and_control_codes_as_pictures(made_run: Path) -> None:
    text = rendered(render_show_command(made_run, WINDING.id))
    assert "Is [bold red]tea[/bold red] <script>alert('x')</script> ␛[2J good?" in text
    assert "a good [/x] answer" in text
    assert THOUGHT in text
    assert "\x1b" not in text


def test_without_text_nothing_of_the_pair_or_of_what_was_written_is_shown(made_run: Path) -> None:
    for pair in (WINDING, CALM[0]):
        text = rendered(render_show_command(made_run, pair.id, show_text=False))
        for hidden in ("tea", "calm", "answer", "Response 2", "conversation"):
            assert hidden not in text
        assert "2 steps back" in text or "0 steps back" in text


def test_every_arm_has_its_line_and_a_filter_says_what_it_did(made_run: Path) -> None:
    labels = {each.arm: each for each in load_pair_view(Run(made_run), WINDING.id).labels}
    assert labels["seam"].label == labels["seam_filtered"].label
    assert [(each.filter, each.passed_filter) for each in (labels["seam"], labels["seam_filtered"])] == [
        ("", True),
        ("information", False),
    ]
    kept = [load_pair_view(Run(made_run), pair.id, "seam_filtered").labels[0].passed_filter for pair in CALM]
    assert sorted(kept) == [False, True, True]  # ceil(4 / 2) of four trees of the same score, by pair id
    text = rendered(render_show_command(made_run, WINDING.id))
    assert text.count("dropped by information") == 1


def test_a_tree_is_shown_once_for_all_arms_that_share_it(made_run: Path) -> None:
    text = rendered(render_show_command(made_run, WINDING.id))
    assert text.count("steps back") == 1
    tree = part(text, "seam, seam_filtered by Seam")
    lines = [line.strip(" │├└─") for line in tree.splitlines()]
    nodes = [line for line in lines if " weight " in line]
    assert [line.split()[0] for line in nodes] == ["Informative", "Engaging", "Logical", "Engaging", "Candor"]
    assert [line.endswith(", kept") for line in nodes] == [True, False, True, False, True]
    assert nodes[1].endswith("left: told less than the node before; tried again")
    # for the response that is b the strong model is 0.6, 0.7, 0.8 sure: 1 - H is 0.029, 0.119, 0.278, their mean 0.142
    assert (WINDING.human, [line.split(" bits, p_a ")[0][-5:] for line in nodes if line.endswith("kept")]) == (
        "b",
        ["0.029", "0.119", "0.278"],
    )
    assert "p_a 0.200, kept" in nodes[-1]
    assert "5 nodes, 3 kept, 2 steps back; score 0.142 bits, which the filter `information` reads" in tree
    assert "The weak model decided by Informative → Logical → Candor: p_a 0.700." in tree


def test_arguments_are_shown_by_order_and_side(made_run: Path) -> None:
    text = rendered(render_show_command(made_run, WINDING.id))
    debate, consultancy = part(text, "debate by Debate"), part(text, "consultancy by Consultancy")
    assert "p_a 0.200 with a first, p_a 0.200 with b first" in debate
    for heading in ("for a, a first:", "for b, a first:", "for a, b first:", "for b, b first:"):
        assert heading in debate
    assert "the strong model spoke for b" in consultancy
    assert "its own label: p_a 0.100" in consultancy
    assert "for a, a first:" not in consultancy


def test_one_arm_is_shown_alone(made_run: Path) -> None:
    text = rendered(render_show_command(made_run, WINDING.id, "debate"))
    assert "Debate" in text and "Seam" not in text


def test_a_failed_label_says_why_and_that_nobody_decided(made_run: Path) -> None:
    text = rendered(render_show_command(made_run, MUTE.id))
    assert "the strong model wrote no thought" in text
    assert "the thought came out empty" in text
    assert "Nobody decided." in text


def test_a_pair_that_no_arm_labels_is_shown_without_labels(made_run: Path) -> None:
    text = rendered(render_show_command(made_run, LABELED[0].id))
    assert ", labeled: people prefer " in text
    assert "No arm has a label of this pair." in text


def test_a_test_pair_is_shown_with_what_models_say_of_it_when_they_are_asked(made_run: Path) -> None:
    view = load_pair_view(Run(made_run), TEST[0].id)
    assert [(each.arm, each.annotator, each.filter, each.passed_filter) for each in view.labels] == [
        ("weak_model", "its model, asked", "", True)
    ]
    assert "3 nodes, 3 kept, 0 steps back" in rendered(render_show_command(made_run, TEST[0].id))


def test_the_list_names_the_pairs_that_are_farthest_apart_and_those_that_went_back(made_run: Path) -> None:
    worth = select_interesting_pairs(Run(made_run))
    (apart,), (backtracked,) = worth.most_disagreement, worth.most_backtracks
    assert WINDING.id.startswith(apart.short_id) and apart.short_id == backtracked.short_id
    assert apart.max_difference == pytest.approx(0.5)
    assert backtracked.backtracks == 2
    text = rendered(render_show_command(made_run, None))
    assert "seam, seam_filtered 0.700, debate 0.200, consultancy 0.200" in text
    assert text.rstrip().endswith(f"trimtab show {made_run} {apart.short_id}")


def test_one_arms_list_is_where_it_is_farthest_from_what_people_said(made_run: Path) -> None:
    worth = select_interesting_pairs(Run(made_run), "seam")
    assert len(worth.most_disagreement) == len(UNLABELED) - 1
    assert WINDING.id.startswith(worth.most_disagreement[0].short_id)
    assert worth.most_disagreement[0].max_difference == pytest.approx(0.7)


def test_labels_that_say_the_same_leave_nothing_to_list(made_run: Path) -> None:
    assert "say the same of every pair" in rendered(render_show_command(made_run, None, "human"))


def test_a_detail_of_any_other_kind_is_shown_as_it_is_and_without_its_sentences_where_no_text_is_wanted() -> None:
    label = Annotation(pair_id="x", p_a=0.7, detail={"arms": {"weak": 0.7}, "taken": "strong", "said": "two [b]words"})
    whole, bare = (rendered(render_detail(label, show_text=text)[0]) for text in (True, False))
    assert "weak: 0.7" in whole and "two [b]words" in whole
    assert "weak: 0.7" in bare and "taken: strong" in bare and "words" not in bare
    assert render_detail(replace(label, detail={}), show_text=True) == []


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert format_excerpt("x" * (MAX_CHARACTERS + 1_000)).plain == "x" * MAX_CHARACTERS + " … 1,000 more characters"
    assert format_excerpt("one\ntwo\nthree", max_lines=2).plain == "one\ntwo … 6 more characters"
    assert format_excerpt("one\r\ntwo\n").plain == "one\ntwo"
    assert format_excerpt("\x07\x1b\x7f\x9b\u202e\r").plain == "␇␛␡��␍"


def test_the_page_tells_the_orders_of_a_tree_as_the_terminal_does(made_run: Path) -> None:
    (label,) = (each.label for each in load_pair_view(Run(made_run), WINDING.id, "seam").labels)
    orders = {"a_first": 0.3, "b_first": 0.7}
    contrary = {**label.detail, "orders": orders, "flipped": True}
    said = "p_a 0.300 with a first, p_a 0.700 with b first; the orders contradict each other"
    assert describe_provenance(contrary)["said"].endswith(f". The weak model: {said}.")
    assert f"the weak model: {said}" in rendered(Group(*render_detail(replace(label, detail=contrary), show_text=True)))
    one = {**contrary, "orders": {"b_first": 0.7}, "flipped": False}
    assert describe_provenance(one)["said"].endswith(". The weak model: p_a 0.700 with b first.")
    without = {key: value for key, value in contrary.items() if key not in ("orders", "flipped")}
    assert "The weak model:" not in describe_provenance(without)["said"]
