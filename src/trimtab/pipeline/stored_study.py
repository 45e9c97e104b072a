"""The study in a run folder. The folder can be someone else's, so reading it imports no code that it names."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, create_model

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import Requirements
from trimtab.core.component import Component, validate_settings
from trimtab.core.yaml_text import parse_yaml
from trimtab.errors import StoreError, StudyError
from trimtab.storage.atomic import atomic_write_text
from trimtab.storage.readers import translate_read_errors

STUDY_FILE = "study.yaml"
_REMEDY = "run the study again, which writes the file"


class UnloadedComponent(Component):
    """The settings of a custom component, unchecked, without its code."""

    model_config = ConfigDict(extra="allow")

    def requirements(self) -> Requirements:
        return Requirements()

    def judge(self, *_: Any) -> Any:
        raise StudyError(f"{type(self).__name__}: a custom component of a stored study has no code")


def save_study(study: Study, folder: Path) -> None:
    atomic_write_text(folder / STUDY_FILE, study.to_yaml())


def hash_study(study: Study) -> str:
    """Hex SHA-256 of the file that `save_study` writes."""
    return hashlib.sha256(study.to_yaml().encode()).hexdigest()


def load_stored_study(folder: Path, expected_hash: str) -> Study:
    """The study of a run. Custom components whose modules are not imported yet become `UnloadedComponent`s.

    Raises `StoreError` if the file is damaged. `expected_hash` is empty if an earlier version wrote the run.
    """
    path = folder / STUDY_FILE
    with translate_read_errors(path, _REMEDY):
        data = path.read_bytes()
        text = data.decode()
    if expected_hash and hashlib.sha256(data).hexdigest() != expected_hash:
        raise StoreError(f"{path} was changed after the run wrote it; {_REMEDY}")
    document = parse_yaml(text, str(path))
    try:
        return validate_settings(Study, _without_code(document))
    except StudyError as error:
        raise StoreError(f"{path} is not a study of this version; {_REMEDY}:\n{error}") from error


def _without_code(value: Any) -> Any:
    """The document with every mapping of a custom kind replaced by its unloaded component."""
    if isinstance(value, list):
        return [_without_code(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind")
    if not isinstance(kind, str) or ":" not in kind or _is_imported(kind):
        return {key: _without_code(item) for key, item in value.items()}
    settings = {str(key): item for key, item in value.items() if key != "kind"}
    return _build_placeholder_class(kind).model_validate(settings)


def _is_imported(kind: str) -> bool:
    """Whether this process has already imported the class, so that using it runs no new code."""
    module_name, _, class_name = kind.partition(":")
    cls = getattr(sys.modules.get(module_name), class_name, None)
    return isinstance(cls, type) and issubclass(cls, Component)


@cache
def _build_placeholder_class(kind: str) -> type[UnloadedComponent]:
    module_name, _, class_name = kind.partition(":")
    return create_model(class_name, __base__=UnloadedComponent, __module__=module_name)
