"""Shell completion of kinds, arms, variants and run folders. A folder or file that cannot be read completes to nothing."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import typer

from trimtab.core.component_loading import list_kinds
from trimtab.errors import TrimtabError

WordCompletion = Callable[[str], list[str]]

# How deep below what has been typed runs are found: `runs/NAME/VARIANT` from nothing.
_LEVELS = 3
_MAX_FOLDERS = 200


def complete_kinds(package: str) -> WordCompletion:
    """Completes the built-in kinds of a package, such as `annotators`."""
    return lambda incomplete: _select(list_kinds(package), incomplete)


def complete_words(*words: str) -> WordCompletion:
    return lambda incomplete: _select(words, incomplete)


def complete_catalog_names(context: typer.Context, incomplete: str) -> list[str]:
    """Completes the entries of the list that `trimtab list` was given."""
    from trimtab.cli.catalog import COMPONENT_PACKAGES, list_catalog

    what = context.params.get("what") or ""
    try:
        names = list_kinds(what) if what in COMPONENT_PACKAGES else [entry[0] for entry in list_catalog(what)]
    except TrimtabError:
        return []
    return _select(names, incomplete)


def complete_run_folders(incomplete: str) -> list[str]:
    """Completes folders that hold a run, up to three levels below what has been typed."""
    from trimtab.pipeline.run_index import RUN_INDEX_FILE

    start = glob.escape(incomplete)
    patterns = (f"{start}*/{'*/' * level}{RUN_INDEX_FILE}" for level in range(_LEVELS))
    found = (str(Path(path).parent) for pattern in patterns for path in glob.iglob(pattern))
    return sorted(islice(found, _MAX_FOLDERS))


def complete_arms(context: typer.Context, incomplete: str) -> list[str]:
    """Completes the rows with labels of the run that was given."""
    from trimtab.pipeline.run_index import load_run_index

    folder = _find_first_argument(context, "folder")
    try:
        rows = load_run_index(folder).rows if folder else ()
    except TrimtabError:
        return []
    return _select((row.name for row in rows if row.labels), incomplete)


def complete_variants(context: typer.Context, incomplete: str) -> list[str]:
    """Completes the variants of the study file that was given."""
    from trimtab.config.study_files import load_study_documents

    study = _find_first_argument(context, "study")
    try:
        names = load_study_documents(study) if study else {}
    except TrimtabError:
        return []
    return _select(filter(None, names), incomplete)


def _find_first_argument(context: typer.Context, name: str) -> Path | None:
    """The first argument. If the option to complete has no value yet, arguments are not assigned to their names."""
    value = context.params.get(name) or next(iter(context.args), None)
    return None if value is None else Path(value)


def _select(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
