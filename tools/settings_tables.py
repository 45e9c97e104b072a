"""Rewrites the settings tables of docs/reference/studies.md from the settings classes: `python tools/settings_tables.py`.

A table follows a comment that names its class, such as `<!-- settings: Study -->`. `tests/test_docs.py` fails if a table is
stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from trimtab.config.response_similarity import ResponseSimilarity
from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.core.settings_schema import describe_settings
from trimtab.models.config import Model

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "studies.md"
# Classes with a page of their own.
ON_OTHER_PAGES: set[type[BaseModel]] = {Model, ResponseSimilarity, Component}
TABLE = re.compile(r"(<!-- settings: (\w+) -->\n)(?:\|.*\n)*")


def settings_classes() -> dict[str, type[BaseModel]]:
    """Every settings class of a study that the page documents, by name."""
    return {cls.__name__: cls for cls in nested_settings(Study) if cls not in ON_OTHER_PAGES}


def nested_settings(cls: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The class and every settings class in its fields, recursively."""
    yield cls
    for field in cls.model_fields.values():
        for inner in _settings_in(field.annotation):
            yield from nested_settings(inner)


def _settings_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inside in get_args(annotation):
        yield from _settings_in(inside)


def render_table(cls: type[BaseModel]) -> str:
    """One class as a Markdown table: name, default, accepted values, description."""
    rows = [f"| `{s.name}` | `{s.default}` | {s.accepted_values} | {s.description} |" for s in describe_settings(cls)]
    return "\n".join(["| setting | default | accepted values | |", "|---|---|---|---|", *rows, ""])


def render_page(text: str) -> str:
    """The page with every table rendered from its class. Raises `KeyError` for a class that no study has."""
    classes = settings_classes()
    return TABLE.sub(lambda match: match[1] + render_table(classes[match[2]]), text)


if __name__ == "__main__":
    PAGE.write_text(render_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
