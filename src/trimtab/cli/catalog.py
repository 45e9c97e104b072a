"""The content of `trimtab list`: names, descriptions, and settings with their defaults."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

from pydantic import BaseModel

from trimtab.config.presets import load_preset
from trimtab.config.study import Study
from trimtab.config.training import (
    LOSSES,
    AuxConfidenceSettings,
    DpoSettings,
    LossInfo,
    PreferenceModelSettings,
    RewardModelSettings,
    SftSettings,
)
from trimtab.core.component import Settings, find_component_class
from trimtab.core.component_loading import list_kinds
from trimtab.core.settings_schema import SettingInfo, describe_settings, format_setting_value
from trimtab.core.validation_errors import format_suggestion
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.models.sources.registry import REGISTERED_MODELS

CatalogEntry = tuple[str, str, str]

COMPONENT_PACKAGES = ("annotators", "sources", "scorers", "judges", "filters", "engines")
TRAINING_SETTINGS: dict[str, type[Settings]] = {
    "sft": SftSettings,
    "dpo": DpoSettings,
    "reward_model": RewardModelSettings,
    "preference_model": PreferenceModelSettings,
    "preference_model.aux_confidence": AuxConfidenceSettings,
}

# Settings of a model that its short name determines.
FIXED_FOR_REGISTERED_MODELS = ("base", "revision", "sha256", "trust_remote_code")

# DPO settings that are listed with the losses that use them.
LOSS_SPECIFIC_SETTINGS = {name for loss in LOSSES.values() for name in loss.used_settings}


def list_catalog(what: str) -> list[CatalogEntry]:
    """Name, description and settings of every entry of a list. Raises `StudyError` for an unknown list."""
    if what not in CATALOGS:
        names = list(CATALOGS)
        raise StudyError(f"unknown list {what!r}{format_suggestion(what, names)} (expected one of: {', '.join(names)})")
    return CATALOGS[what]()


@dataclass(frozen=True, slots=True)
class CatalogDetails:
    """One entry with its full description and its settings. The text of a study is its YAML."""

    name: str
    text: str
    settings: tuple[SettingInfo, ...] = ()


def describe_catalog_entry(what: str, name: str) -> CatalogDetails:
    """Describes one entry of a list, or a custom component, `my_module:MyClass`. Raises `StudyError` for an unknown name."""
    entries = {entry[0]: entry for entry in list_catalog(what)}
    is_custom = what in COMPONENT_PACKAGES and ":" in name
    if name not in entries and not is_custom:
        suggestion = format_suggestion(name, list(entries))
        raise StudyError(f"{what}: unknown name {name!r}{suggestion} (expected one of: {', '.join(entries)})")
    if what == "studies":
        return CatalogDetails(name, load_preset(name))
    if what == "models":
        return CatalogDetails(name, entries[name][1], tuple(describe_settings(Model, FIXED_FOR_REGISTERED_MODELS)))
    if what == "losses":
        return _describe_loss(name, entries[name][1])
    cls = find_component_class(what, name)
    return CatalogDetails(name, inspect.cleandoc(cls.__doc__ or ""), tuple(describe_settings(cls)))


def _describe_loss(name: str, description: str) -> CatalogDetails:
    if name in TRAINING_SETTINGS:
        cls = TRAINING_SETTINGS[name]
        exclude = LOSS_SPECIFIC_SETTINGS if cls is DpoSettings else ()
        return CatalogDetails(name, inspect.cleandoc(cls.__doc__ or ""), tuple(describe_settings(cls, exclude)))
    info = next(info for loss, info in LOSSES.items() if name == f"dpo.{loss}")
    return CatalogDetails(name, description, tuple(describe_settings(DpoSettings, _settings_not_used_by(info))))


def extract_first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line. A period inside an abbreviation does not end it."""
    paragraph = " ".join((text or "").strip().split("\n\n", 1)[0].split())
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", paragraph, maxsplit=1)[0]


def _list_components(package: str) -> list[CatalogEntry]:
    classes = {kind: find_component_class(package, kind) for kind in list_kinds(package)}
    return [(kind, extract_first_sentence(cls.__doc__), _format_settings(cls)) for kind, cls in classes.items()]


def _list_losses() -> list[CatalogEntry]:
    """Lists trainings with their settings, and each DPO loss with the settings that only it uses."""
    entries: list[CatalogEntry] = []
    for name, cls in TRAINING_SETTINGS.items():
        exclude = LOSS_SPECIFIC_SETTINGS if cls is DpoSettings else ()
        entries.append((name, extract_first_sentence(cls.__doc__), _format_settings(cls, exclude)))
        if cls is DpoSettings:
            entries += [_dpo_loss_entry(loss, info) for loss, info in LOSSES.items()]
    return entries


def _dpo_loss_entry(name: str, info: LossInfo) -> CatalogEntry:
    settings = _format_settings(DpoSettings, _settings_not_used_by(info))
    return f"dpo.{name}", info.description, " ".join(filter(None, [f"loss_type={name}", settings]))


def _settings_not_used_by(info: LossInfo) -> list[str]:
    return [name for name in DpoSettings.model_fields if name not in info.used_settings]


def _list_models() -> list[CatalogEntry]:
    return [
        (
            model.name,
            f"Installed with pip on first use ({len(model.wheels)} package{'s' if len(model.wheels) > 1 else ''}); "
            f"{model.license}; {model.required_disk_bytes / 1e9:.1f} GB on disk.",
            _format_settings(Model, exclude=FIXED_FOR_REGISTERED_MODELS),
        )
        for model in REGISTERED_MODELS.values()
    ]


def _list_studies() -> list[CatalogEntry]:
    paths = [path.name for path in files("trimtab.config.presets").iterdir()]
    names = sorted(path.removesuffix(".yaml") for path in paths if path.endswith(".yaml"))
    return [_study_entry(name, Study.parse(load_preset(name))) for name in names]


def _study_entry(name: str, study: Study) -> CatalogEntry:
    models = {"weak": study.models.weak, "student": study.models.student}
    settings = [
        f"models.{role}={format_setting_value(model.model_dump(exclude_defaults=True))}"
        for role, model in models.items()
    ]
    return name, extract_first_sentence(study.description), " ".join(settings)


def _format_settings(cls: type[BaseModel], exclude: Collection[str] = ()) -> str:
    """Formats settings as on the command line: `beta=0.1 policy=@weak`; a required setting is `path=…`."""
    return " ".join(f"{setting.name}={setting.default}" for setting in describe_settings(cls, exclude))


CATALOGS: dict[str, Callable[[], list[CatalogEntry]]] = {
    **{package: partial(_list_components, package) for package in COMPONENT_PACKAGES},
    "models": _list_models,
    "losses": _list_losses,
    "studies": _list_studies,
}
