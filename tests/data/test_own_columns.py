"""`columns` and `label_values` read a file with names and labels of its own, without editing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trimtab.core.component import build_component
from trimtab.errors import DataError, StudyError
from trimtab.sources.file import File
from trimtab.types import Dataset, Message, Pair, build_user_prompt
from trimtab.workflows.pair_files import build_pair_file, parse_data_settings

CSV = "question,answer_1,answer_2,better\nName a color.,Seven.,Blue.,2\nName a bird.,A wren.,A trout.,1\n"
COLUMNS = {"prompt": "question", "response_a": "answer_1", "response_b": "answer_2", "label": "better"}
VALUES = {"1": "a", "2": "b"}
COLOR = Pair.from_responses(build_user_prompt("Name a color."), "Blue.", "Seven.", "first")


def load(folder: Path, text: str = CSV, name: str = "own.csv", **settings: Any) -> Dataset:
    (folder / name).write_text(text)
    source = build_component("sources", {"kind": "file", "path": str(folder / name), **settings})
    assert isinstance(source, File)
    return source.load()


@pytest.mark.parametrize("values", [VALUES, {1: "a", 2: "b"}, {"1.0": "a", " 2 ": "b"}])
def test_own_columns_and_labels_are_read(tmp_path: Path, values: dict[Any, str]) -> None:
    dataset = load(tmp_path, columns=COLUMNS, label_values=values)
    assert dataset.pairs[0] == COLOR
    assert [pair.response(pair.human) for pair in dataset.pairs if pair.human] == ["Blue.", "A wren."]
    assert dataset.layout == "two responses, text, labels in 'better'"


def test_the_error_for_an_unknown_layout_shows_the_line_to_add(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    line = "`columns: {prompt: question, response_a: answer_1, response_b: answer_2, label: better}`"
    assert f'add {line}, `label_values: {{"1": a, "2": b}}`' in str(caught.value)


@pytest.mark.parametrize(
    "names", [("chosen_text", "rejected_text"), ("Chosen", "Rejected"), ("preferred", "non_preferred"), ("win", "lose")]
)
def test_the_line_to_add_names_the_columns_of_both_responses(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, f"question,{names[1]},{names[0]}\nName a color.,Seven.,Blue.\n")
    assert f"add `columns: {{prompt: question, chosen: {names[0]}, rejected: {names[1]}}}`" in str(caught.value)


def test_a_column_that_no_row_has_is_an_error_with_the_columns_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`columns` names beter, which no row has; columns found: question, answer_1"):
        load(tmp_path, columns=COLUMNS | {"label": "beter"}, label_values=VALUES)


def test_a_label_without_a_meaning_fails_its_row(tmp_path: Path) -> None:
    dataset = load(tmp_path, CSV + "Name a fish.,A cod.,A wren.,3\n", columns=COLUMNS, label_values=VALUES)
    assert [failure.reason for failure in dataset.failures] == [
        "'better' is '3', which is not in `label_values`: '1', '2'"
    ]


def test_a_null_value_reads_the_pair_as_unlabeled(tmp_path: Path) -> None:
    dataset = load(tmp_path, columns=COLUMNS, label_values={"1": None, "2": "b"})
    assert [pair.human is None for pair in dataset.pairs] == [False, True]


def test_a_label_may_name_an_own_column(tmp_path: Path) -> None:
    dataset = load(
        tmp_path,
        "q,one,two,best\nName a color.,Seven.,Blue.,Two\n",
        columns={"prompt": "q", "response_a": "one", "response_b": "two", "label": "best"},
    )
    assert dataset.pairs == (COLOR,)


def test_chosen_and_rejected_may_have_own_names(tmp_path: Path) -> None:
    text = '{"q": "Name a color.", "good": "Blue.", "bad": "Seven.", "who": "Be brief."}'
    columns = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    assert load(tmp_path, text, "p.jsonl", columns=columns).pairs == (COLOR,)
    (pair,) = load(tmp_path, text, "p.jsonl", columns=columns | {"system": "who"}).pairs
    assert pair.prompt[0] == Message(role="system", content="Be brief.")


def test_rated_responses_may_have_own_names(tmp_path: Path) -> None:
    text = "q,answer,stars\nName a color.,Blue.,5\nName a color.,Seven.,1\n"
    dataset = load(tmp_path, text, columns={"prompt": "q", "response": "answer"}, rating_column="stars")
    assert dataset.pairs == (COLOR,)


@pytest.mark.parametrize(("labels", "failed"), [('["2"]', 0), ('["2", "2"]', 0), ('["2", "1"]', 1)])
def test_several_annotators_must_agree(tmp_path: Path, labels: str, failed: int) -> None:
    text = f'{{"question": "Name a color.", "answer_1": "Seven.", "answer_2": "Blue.", "better": {labels}}}\n'
    other = '{"question": "Hi", "answer_1": "Seven.", "answer_2": "Blue.", "better": [1]}\n'
    dataset = load(tmp_path, text + other, "p.jsonl", columns=COLUMNS, label_values=VALUES)
    assert len(dataset.failures) == failed


@pytest.mark.parametrize(
    "settings", [{"columns": {"promt": "question"}}, {"label_values": {"1": "first"}}, {"columns": {"prompt": 3}}]
)
def test_invalid_settings_are_rejected_before_reading(settings: dict[str, Any]) -> None:
    with pytest.raises(StudyError):
        build_component("sources", {"kind": "file", "path": "p.csv", **settings})


def test_options_of_the_command_line_give_the_same_source() -> None:
    options = [f"columns.{role}={name}" for role, name in COLUMNS.items()]
    options += [f"label_values.{label}={choice}" for label, choice in VALUES.items()]
    source = build_pair_file("own.csv", parse_data_settings([*options, "limit=5"]), limit=3)
    assert source == build_component(
        "sources", {"kind": "file", "path": "own.csv", "columns": COLUMNS, "label_values": VALUES, "limit": 3}
    )


@pytest.mark.parametrize("option", ["columns.promt=q", "layout", "path=x.csv", "kind=hub", "colums.prompt=q"])
def test_an_unusable_option_is_reported_with_its_name(option: str) -> None:
    with pytest.raises(StudyError, match=r"^--data: "):
        parse_data_settings([option])


@pytest.mark.parametrize(
    "text",
    [
        "prompt,response_a,response_b\nName a color.,Blue.,Seven.\n",
        "prompt,chosen,rejected\nName a color.,Blue.,Seven.\n",
    ],
)
def test_meanings_of_labels_that_no_row_has_are_a_notice(tmp_path: Path, text: str) -> None:
    (notice,) = load(tmp_path, text, label_values=VALUES).notices
    assert notice.startswith("`label_values` is not used: no row has a label column")
    assert load(tmp_path, text).notices == ()
    assert load(tmp_path, text, label_values=VALUES, columns={"label": None}).notices == ()


def test_meanings_of_labels_that_rows_have_are_no_notice(tmp_path: Path) -> None:
    assert load(tmp_path, columns=COLUMNS, label_values=VALUES).notices == ()
