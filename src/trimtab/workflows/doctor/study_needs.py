"""What a study needs: models, data, keys, packages and servers, and which of them are missing here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from trimtab.config.response_similarity import ResponseSimilarity
from trimtab.config.study import Study
from trimtab.core.component import Component, Settings, get_kind
from trimtab.core.interfaces import EngineConfig, HasPreflight, Source
from trimtab.core.runtime import Runtime
from trimtab.engines.openai import Openai
from trimtab.engines.transformers import Transformers
from trimtab.engines.vllm import Vllm
from trimtab.errors import TrimtabError
from trimtab.models.config import Model
from trimtab.models.embeddings.registry import REGISTERED_ENCODERS
from trimtab.pipeline.plan import required_models
from trimtab.sources.hub import Hub, use_local_copies_if_unreachable
from trimtab.workflows.doctor.findings import FactGroup, Findings
from trimtab.workflows.doctor.study_models import check_models, is_on_hub
from trimtab.workflows.study_plan import StudyPlan
from trimtab.workflows.study_runs import StudyRun
from trimtab.workflows.training_memory import describe_training_memory


def check_study_runs(runs: Sequence[StudyRun], runtime: Runtime) -> Findings:
    """What is missing to run the studies of a file here.

    Trains, downloads and writes nothing; asks the servers that the studies name.
    """
    places = _list_places(run.study for run in runs)
    models = [each for run in runs for each in _list_models(run.study)]
    asks_hub = any(is_on_hub(model) for _, model in models) or any(isinstance(each, Hub) for _, each in places)
    with use_local_copies_if_unreachable() if asks_hub else nullcontext():
        found = check_models(models, runtime.device)
        found += _check_data(places) + _check_keys(places) + _check_servers(places, runtime)
        return found if found.problems else found + _check_plans(runs, runtime)


def _list_places(studies: Iterable[Study]) -> list[tuple[str, Settings]]:
    """Every settings object with its place, without those that several variants share."""
    by_place: dict[str, list[Settings]] = {}
    for place, settings in (each for study in studies for each in iter_settings(study)):
        known = by_place.setdefault(place, [])
        if settings not in known:
            known.append(settings)
    return [(place, settings) for place, known in by_place.items() for settings in known]


def iter_settings(value: Any, place: str = "") -> Iterator[tuple[str, Settings]]:
    """Every settings object in a value with its place in the study, inner ones first."""
    if isinstance(value, Settings):
        for name, field in type(value).model_fields.items():
            yield from iter_settings(getattr(value, name), f"{place}.{field.alias or name}".lstrip("."))
        yield place, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from iter_settings(item, f"{place}.{name}")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from iter_settings(item, f"{place}.{index}")


def _list_models(study: Study) -> list[tuple[str, Model | str]]:
    """Published models, and the names of built-in sentence encoders, with their places."""
    models: dict[str, Model | str] = {}
    for place, settings in iter_settings(study):
        if isinstance(settings, Model):
            models[place] = settings
        elif isinstance(settings, Transformers | Vllm) and not settings.model.startswith("@"):
            models[place] = Model.model_validate(settings.model)
        elif isinstance(settings, ResponseSimilarity):
            names = {"encoder": settings.encoder, "regressor": settings.regressor}
            for role, name in names.items():
                if name is not None:
                    is_registered = role == "encoder" and name.lower() in REGISTERED_ENCODERS
                    models[f"{place}.{role}"] = name if is_registered else Model(base=name)
    others = [model for model in required_models(study) if model not in models.values()]
    return [*models.items(), *((f"arms ({model.base})", model) for model in others)]


def _check_data(places: list[tuple[str, Settings]]) -> Findings:
    """Sources of pairs, and other files that components read."""
    facts: list[tuple[str, str]] = []
    problems: dict[str, str] = {}
    for place, settings in places:
        is_source = isinstance(settings, Source)
        if not isinstance(settings, Component) or isinstance(settings, EngineConfig | ResponseSimilarity):
            continue
        if not hasattr(settings, "content_hash") or any(inner.startswith(f"{place}.") for inner in problems):
            continue
        try:
            settings.content_hash()
        except TrimtabError as error:
            remedy = "; create the file or correct the setting" if "no such file" in str(error) else ""
            problems[place] = f"{error}{remedy}"
        if is_source:
            facts.append((place, f"{_describe_source(settings)}: {'missing' if place in problems else 'available'}"))
    sections = (FactGroup("data", tuple(facts)),) if facts else ()
    return Findings(sections, tuple(f"{place}: {problem}" for place, problem in problems.items()))


def _describe_source(source: Component) -> str:
    name = getattr(source, "path", getattr(source, "id", ""))
    return f"{get_kind(source)} {name}".rstrip()


def _check_keys(places: list[tuple[str, Settings]]) -> Findings:
    """The environment variables with API keys: their names, never their values."""
    names = dict.fromkeys(
        settings.api_key_env for _, settings in places if isinstance(settings, Openai) and settings.api_key_env
    )
    facts = tuple((name, "set" if os.environ.get(name, "").strip() else "not set") for name in names)
    return Findings((FactGroup("keys in the environment", facts),) if facts else ())


def _check_servers(places: list[tuple[str, Settings]], runtime: Runtime) -> Findings:
    """Engines that are usable: their package is installed, their key is set, their server answers."""
    facts: list[tuple[str, str]] = []
    problems: list[str] = []
    for place, settings in places:
        if not isinstance(settings, Openai | Vllm) or not isinstance(settings, HasPreflight):
            continue
        name = f"{get_kind(settings)} {settings.model}"
        try:
            settings.preflight(runtime)
        except TrimtabError as error:
            problems.append(f"{place}: {error}")
            facts.append((place, f"{name}: not usable"))
        else:
            facts.append((place, f"{name}: usable"))
    return Findings((FactGroup("engines", tuple(facts)),) if facts else (), tuple(problems))


def _check_plans(runs: Sequence[StudyRun], runtime: Runtime) -> Findings:
    """What `trimtab plan` says in short, and the memory of trainings: no problem, since it is an estimate."""
    plans: list[StudyPlan] = []
    for run in runs:
        try:
            plans.append(StudyPlan.of_study(run.study, run.folder, run.store, plans))
        except TrimtabError as error:
            return Findings(problems=tuple(f"{run.study.name}: {line}" for line in str(error).splitlines()))
    facts = ((run.study.name, plan.summary.splitlines()[0]) for run, plan in zip(runs, plans, strict=True))
    memory: dict[str, str] = {}
    for run, plan in zip(runs, plans, strict=True):
        memory |= describe_training_memory(run.study, plan.to_run, runtime)
    sections = (FactGroup("plan", tuple(facts)), FactGroup("memory of trainings", tuple(memory.items())))
    return Findings(tuple(section for section in sections if section.facts))
