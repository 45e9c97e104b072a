"""Damaged studies: every error is one of ours, and no error is longer than a screen."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import yaml

from trimtab.config.presets import load_preset
from trimtab.config.study import Study
from trimtab.errors import TrimtabError
from trimtab.pipeline.plan import build_plan

VALUES: tuple[Any, ...] = (
    *(True, None, 0, -1, 2**32, 2**63, 10**400, 1e300, float("nan"), float("inf")),
    *("", "..", "@weak", "@nobody", "x" * 50_000, "x\ny", "1e-4", "human"),
    *([], [[1]], {}, {True: 1}, {3: 4}, {"a": {"b": {}}}),
    *({"kind": kind} for kind in ("", ":", "a:", "os:path", "no_such:X", "length", "margin", 3, None)),
)
DAMAGES = ("[", "{", "&a [*a]", "*a", "!!int x", "\t", '"', "\x00", "? [1]\n: 2", "\nname: twice", "[" * 3000)
DOCUMENT = yaml.safe_load(load_preset("quickstart"))


def list_paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(inner for key, value in items for inner in list_paths(value, (*path, key)))]


def replace_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.copy(document)
    changed[path[0]] = replace_value(document[path[0]], path[1:], value)
    return changed


def mutate(chooser: random.Random) -> str:
    document = DOCUMENT
    for _ in range(chooser.choice((1, 1, 2))):
        document = replace_value(document, chooser.choice(list_paths(document)), chooser.choice(VALUES))
    text = yaml.safe_dump(document, sort_keys=False)
    if chooser.random() < 0.3:
        position = chooser.randrange(len(text))
        text = text[:position] + chooser.choice(DAMAGES) + text[position:]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_study_is_valid_or_gives_a_short_error(seed: int) -> None:
    chooser = random.Random(seed)
    for _ in range(30):
        try:
            build_plan(Study.parse(mutate(chooser)))
        except TrimtabError as error:
            assert str(error)
            assert len(str(error)) < 6000
