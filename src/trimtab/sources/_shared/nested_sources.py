"""Loads and hashes the nested sources of a source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trimtab.core.component import Component, get_kind
from trimtab.core.interfaces import Source
from trimtab.errors import StudyError
from trimtab.types import Dataset


def load_source(component: Component) -> Dataset:
    return _as_source(component).load()


def combined_content_hash(components: Sequence[Component]) -> str:
    """The content hash of each source with its settings, except for those that only locate its files."""
    return json.dumps([[_content_settings(source), _as_source(source).content_hash()] for source in components])


def _content_settings(component: Component) -> dict[str, Any]:
    fields = component.model_dump(mode="json", exclude_defaults=True, exclude=set(component.FINGERPRINT_EXCLUDED))
    return {"kind": get_kind(component), "version": component.VERSION, **fields}


def _as_source(component: Component) -> Source:
    if not isinstance(component, Source):
        raise StudyError(f"{type(component).__name__} is not a source of pairs (it needs `load` and `content_hash`)")
    return component
