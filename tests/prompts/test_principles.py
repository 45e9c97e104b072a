"""The built-in principles are complete, and an invalid file is rejected with the location."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab.errors import DataError
from trimtab.prompts.principles import load_principles

HELPFUL = ["Informative", "Engaging", "Logical", "Candor", "Clarifying"]
HARMLESS = [
    "Law-abiding",
    "No Risk Information",
    "Privacy Protection",
    "No NSFW Content",
    "Objective",
    "Fairness and Kindness",
]
SHOWN = {"prompt": "p", "better": "b", "worse": "w", "why_better": "yes", "why_worse": "no"}
BRIEF = {"name": "Brief", "group": "helpful", "text": "Short.", "demonstration": SHOWN}
CALM = {"name": "Calm", "group": "harmless", "text": "Calm.", "demonstration": SHOWN}


@pytest.fixture
def file(tmp_path: Path) -> Callable[[Any], str]:
    def write(content: Any) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return str(path)

    return write


def without(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != name}


def test_the_built_in_principles_are_those_of_the_paper_in_order() -> None:
    found = load_principles()
    assert [each.name for each in found] == HELPFUL + HARMLESS
    assert [each.name for each in found if each.group == "harmless"] == HARMLESS


def test_every_built_in_demonstration_is_short_and_complete() -> None:
    lengths = [len(part.split()) for each in load_principles() for part in astuple(each.demonstration)]
    assert len(lengths) == 55
    assert (min(lengths) >= 10, max(lengths) <= 60) == (True, True)


def test_built_in_texts_are_unique() -> None:
    texts = [part for each in load_principles() for part in (each.text, *astuple(each.demonstration))]
    assert len(set(texts)) == len(texts)


def test_custom_principles_are_loaded_in_order(file: Callable[[Any], str]) -> None:
    first, second = load_principles(file([CALM, {**BRIEF, "text": "  Short.\n"}]))
    assert (first.name, first.group, second.name, second.text) == ("Calm", "harmless", "Brief", "Short.")
    assert second.demonstration.why_worse == "no"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([BRIEF, without(CALM, "demonstration")], "principle 2: expected .*; missing demonstration"),
        ([BRIEF, CALM, {**CALM, "name": "brief"}], "2 principles are named 'Brief'"),
        (
            [{**BRIEF, "group": "honest"}],
            r"principle 1 \(Brief\): group must be one of helpful, harmless, got 'honest'",
        ),
        ([{**BRIEF, "group": ["helpful"]}], r"group must be one of helpful, harmless, got \['helpful'\]"),
        ([{**BRIEF, "text": " "}], r"principle 1 \(Brief\): text must be non-empty text, got ' '"),
        ([{**BRIEF, "name": None}], "principle 1: name must be non-empty text, got nothing"),
        ([{**BRIEF, "weight": 2}], "unknown weight"),
        (["Brief"], "principle 1: expected a mapping with name, group, text, demonstration, got 'Brief'"),
        ([{**BRIEF, "demonstration": "see above"}], r"demonstration: expected a mapping with prompt, better"),
        ([{**BRIEF, "demonstration": without(SHOWN, "why_worse")}], "demonstration: .*; missing why_worse"),
        ([{**BRIEF, "demonstration": {**SHOWN, "better": ""}}], "demonstration: better must be non-empty text"),
        ({"Brief": BRIEF}, "expected a list of principles, got {'Brief'"),
        ([], r"expected a list of principles, got \[\]"),
        ("", "expected a list of principles, got nothing"),
        ("- {", "not YAML"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_location(content: Any, message: str, file: Callable[[Any], str]) -> None:
    with pytest.raises(DataError, match=rf"(?s)mine\.yaml: .*{message}"):
        load_principles(file(content))


@pytest.mark.parametrize("longer", ["Brief and Calm", "briefness"])
def test_a_name_with_another_name_as_prefix_is_rejected(longer: str, file: Callable[[Any], str]) -> None:
    for content in ([BRIEF, {**CALM, "name": longer}], [{**CALM, "name": longer}, BRIEF]):
        with pytest.raises(DataError, match=f"the name '{longer}' starts with another name, 'Brief'"):
            load_principles(file(content))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.yaml: cannot read the principles"):
        load_principles(str(tmp_path / "none.yaml"))
