"""The texts of the starter set: phrases and tables in YAML files, loaded on first use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any

import yaml


class Texts:
    """One file of `starter/data`. Repeated lookups return the same object."""

    def __init__(self, name: str) -> None:
        self.name = name

    def phrases(self, key: str) -> tuple[str, ...]:
        phrases: tuple[str, ...] = self._content[key]
        return phrases

    def rows(self, key: str) -> tuple[tuple[str, ...], ...]:
        """The rows of a table with several columns."""
        rows: tuple[tuple[str, ...], ...] = self._content[key]
        return rows

    def groups(self, key: str) -> Mapping[str, tuple[str, ...]]:
        """Phrases by group name."""
        groups: Mapping[str, tuple[str, ...]] = self._content[key]
        return groups

    @cached_property
    def _content(self) -> dict[str, Any]:
        text = files("trimtab.starter").joinpath("data", f"{self.name}.yaml").read_text(encoding="utf-8")
        return {key: _freeze(value) for key, value in yaml.safe_load(text).items()}


def _freeze(value: Any) -> Any:
    """Lists become tuples, and strings with ` | ` tuples of their cells."""
    if isinstance(value, str) and " | " in value:
        return tuple(value.split(" | "))
    if isinstance(value, list):
        return tuple(_freeze(item) for item in value)
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
    return value


WORDS = Texts("words")
