"""Files of pairs that are named on the command line, with settings for reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.core.component import apply_override, build_component
from trimtab.errors import StudyError
from trimtab.sources.file import File


def parse_data_settings(settings: Sequence[str]) -> dict[str, Any]:
    """The settings of the source `file` from `KEY=VALUE` options. Raises `StudyError` if an option cannot be used."""
    document: dict[str, Any] = {}
    try:
        for setting in settings:
            document = apply_override(document, setting)
        build_pair_file("", document)
    except StudyError as error:
        raise StudyError(f"--data: {error}") from error
    return document


def build_pair_file(path: str | Path, settings: Mapping[str, Any], limit: int | None = None) -> File:
    """The source of a file of pairs; `limit` overrides that of `settings`. Raises `StudyError` if a setting is invalid."""
    reserved = sorted({"kind", "path"} & settings.keys())
    if reserved:
        raise StudyError(f"{reserved[0]}: the file is given by itself, not as a setting")
    overridden = {} if limit is None else {"limit": limit}
    source = build_component("sources", {"kind": "file", **settings, **overridden, "path": str(path)})
    assert isinstance(source, File)  # noqa: S101 - for the type checker
    return source
