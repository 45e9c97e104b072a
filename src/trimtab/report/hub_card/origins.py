"""What labels or a student were made from, as the metadata of a card names it: datasets, base model and license."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from trimtab.config.data_sources import dump_data
from trimtab.config.study import Study
from trimtab.core.component import Component, dump_component, get_kind
from trimtab.models.config import Model
from trimtab.models.sources.hub import HUB_ID_PATTERN
from trimtab.models.sources.registry import REGISTERED_MODELS, RegisteredModel

UNKNOWN_LICENSE = "unknown"
_STARTER_LICENSE = "apache-2.0"


def list_hub_datasets(study: Study) -> list[str]:
    """The Hub IDs of the datasets that the study's pairs, and its SFT data, come from."""
    sft_data = study.training.sft_data
    parts = [dump_data(study.data), dump_component(sft_data) if isinstance(sft_data, Component) else {}]
    ids = (str(source["id"]) for part in parts for source in _iter_mappings(part) if source.get("kind") == "hub")
    return [each for each in dict.fromkeys(ids) if not Path(each).exists()]


def find_base_model(model: Model) -> str | None:
    """The Hub ID of a model's weights, or None for a local folder or file and for weights from another index."""
    if model.base in REGISTERED_MODELS:
        return REGISTERED_MODELS[model.base].hub_id
    match = HUB_ID_PATTERN.fullmatch(model.base)
    return match["repo"] if match and not Path(model.base).expanduser().exists() else None


def format_model_name(model: Model) -> str:
    """The name of a model without the folders that lead to it on this machine."""
    name = shorten_path(model.base)
    return f"{name} (first {model.layers} layers)" if model.layers else name


def find_labels_license(study: Study) -> str:
    """The Hub's ID of the license of labels, as far as it is known.

    It is that of a model whose terms extend to its outputs, or that of the built-in pairs.
    """
    restricted = _find_restricted_model(study)
    if restricted is not None:
        return restricted.hub_license
    is_starter = isinstance(study.data, Component) and get_kind(study.data) == "starter"
    return _STARTER_LICENSE if is_starter else UNKNOWN_LICENSE


def find_student_license(study: Study) -> str:
    """The Hub's ID of the license of students, as far as it is known.

    It is that of the base model, or of a model whose terms extend to models that are trained on its outputs.
    """
    model = _find_restricted_model(study) or REGISTERED_MODELS.get(study.models.student.base)
    return UNKNOWN_LICENSE if model is None else model.hub_license


def find_license_terms(study: Study) -> str:
    """The license terms of a model of the study that extend to its labels and students, or empty."""
    model = _find_restricted_model(study)
    return "" if model is None else model.license_terms.replace("By continuing you accept them.", "").strip()


def shorten_paths(text: str) -> str:
    """The YAML of a study, in which absolute paths are shortened to the name of the file or folder."""
    return yaml.safe_dump(_shorten_values(yaml.safe_load(text)), sort_keys=False, allow_unicode=True, width=120)


def shorten_path(text: str) -> str:
    """`/home/ana/pairs.jsonl` as `…/pairs.jsonl`. Text that is not an absolute path is unchanged."""
    if "\n" in text or not (text.startswith(("/", "~")) or PureWindowsPath(text).is_absolute()):
        return text
    return f"…/{PurePosixPath(text.replace(chr(92), '/')).name}"


def _find_restricted_model(study: Study) -> RegisteredModel | None:
    models = (study.models.student, study.models.weak, *study.models.weak_models.values())
    registered = (REGISTERED_MODELS[model.base] for model in models if model.base in REGISTERED_MODELS)
    return next((model for model in registered if model.license_terms), None)


def _shorten_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shorten_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shorten_values(item) for item in value]
    return shorten_path(value) if isinstance(value, str) else value


def _iter_mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """A value's mappings at any depth, the value itself included."""
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _iter_mappings(item)
