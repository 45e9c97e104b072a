"""Placeholders for data on a hub that cannot be reached, so that a dry run works offline."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trimtab.config.data_sources import list_sources
from trimtab.config.rounds import list_round_sources
from trimtab.config.study import Study
from trimtab.core.component import Component, dump_component
from trimtab.core.interfaces import Source
from trimtab.errors import DataError
from trimtab.models.references import NOT_DOWNLOADED
from trimtab.pipeline.stages.split import as_source
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.sources.hub import Hub, HubUnreachableError, use_local_copies_if_unreachable
from trimtab.storage.recipe import canonical_json
from trimtab.types import Dataset


class OfflineSource(Component):
    """A placeholder for a source whose dataset is not downloaded and cannot be reached. `name` is the source's settings."""

    name: str

    def load(self) -> Dataset:
        raise DataError(f"{self.name} has not been downloaded; run the study with access to the hub")

    def content_hash(self) -> str:
        return f"{NOT_DOWNLOADED}{self.name}"


def replace_unreachable_sources(study: Study) -> Study:
    """The study with an `OfflineSource` for each source without a content hash. For dry runs only."""
    sources = [*list_sources(study.data).values(), *study.ood_eval.values()]
    sources += [scorer.data for scorer in study.scorers.values() if isinstance(scorer, StudyRewardModel)]
    sources += [study.training.sft_data] if isinstance(study.training.sft_data, Component) else []
    sources += [] if study.rounds is None else list_round_sources(study.rounds).values()
    sources += [arm.filter for arm in study.arms.values() if arm.filter is not None]
    with use_local_copies_if_unreachable() if any(map(uses_hub, sources)) else nullcontext():
        return _replace_sources(study)


def _replace_sources(study: Study) -> Study:
    sources = {name: _replace_if_unreachable(source) for name, source in list_sources(study.data).items()}
    data = sources["all"] if isinstance(study.data, Component) else study.data.model_copy(update=sources)
    scorers = {
        name: scorer.model_copy(update={"data": _replace_if_unreachable(scorer.data)})
        if isinstance(scorer, StudyRewardModel)
        else scorer
        for name, scorer in study.scorers.items()
    }
    ood_eval = {name: _replace_if_unreachable(source) for name, source in study.ood_eval.items()}
    training, sft_data = study.training, study.training.sft_data
    if isinstance(sft_data, Component):
        training = training.model_copy(update={"sft_data": _replace_if_unreachable(sft_data)})
    arms = {
        name: arm if arm.filter is None else arm.model_copy(update={"filter": _replace_inside(arm.filter)})
        for name, arm in study.arms.items()
    }
    rounds = study.rounds
    if rounds is not None:
        replaced = {name: _replace_if_unreachable(source) for name, source in list_round_sources(rounds).items()}
        rounds = rounds.model_copy(update=replaced)
    changes = {
        "rounds": rounds,
        "data": data,
        "scorers": scorers,
        "ood_eval": ood_eval,
        "training": training,
        "arms": arms,
    }
    return study.model_copy(update=changes)


def _replace_inside(component: Component) -> Component:
    """The component with the unreachable sources in its settings replaced."""

    def replace(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(replace, value))
        if not isinstance(value, Component):
            return value
        return _replace_if_unreachable(value) if isinstance(value, Source) else _replace_inside(value)

    return component.model_copy(
        update={name: replace(getattr(component, name)) for name in type(component).model_fields}
    )


def _replace_if_unreachable(source: Component) -> Component:
    return source if _is_available(source) else OfflineSource(name=canonical_json(dump_component(source)))


def _is_available(source: Component) -> bool:
    try:
        as_source(source).content_hash()
    except HubUnreachableError:
        return False
    return True


def uses_hub(source: Component) -> bool:
    """Whether a source, or a source inside it, loads from the hub."""
    if isinstance(source, Hub):
        return not Path(source.id).exists()
    values = [getattr(source, name) for name in type(source).model_fields]
    items = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
    return any(uses_hub(item) for item in items if isinstance(item, Component))
