"""Data on a hub that cannot be reached: a plan goes on with a name in its place, a run never does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trimtab.config.study import PredefinedSplits, Study
from trimtab.core.component import Component, dump_component
from trimtab.errors import DataError
from trimtab.pipeline.stages.split import SPLIT_NAMES, as_source
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.sources.hub import Hub, HubUnreachableError
from trimtab.storage.artifacts import canonical_json
from trimtab.types import Dataset


class OfflineSource(Component):
    """Stands for a source whose dataset is neither here nor within reach; `name` is its settings."""

    name: str

    def load(self) -> Dataset:
        raise DataError(f"{self.name} has not been fetched; run the study where the hub can be reached")

    def content_hash(self) -> str:
        return f"not-downloaded:{self.name}"


def replace_unreachable_sources(study: Study) -> Study:
    """The study with an `Unfetched` for each source of pairs that cannot be identified from here. Never to be run."""
    given = isinstance(study.data, PredefinedSplits)
    data = {side: getattr(study.data, side) for side in SPLIT_NAMES} if given else {"all": study.data}
    scorers = {name: each for name, each in study.scorers.items() if isinstance(each, StudyRewardModel)}
    asked = [*data.values(), *(scorer.data for scorer in scorers.values()), *study.ood_eval.values()]
    known, ends = _replace_unreachable(asked), len(data) + len(scorers)
    sides = dict(zip(data, known[: len(data)], strict=True))
    rest = zip(scorers.items(), known[len(data) : ends], strict=True)
    trained = {name: scorer.model_copy(update={"data": source}) for (name, scorer), source in rest}
    return study.model_copy(
        update={
            "data": study.data.model_copy(update=sides) if isinstance(study.data, PredefinedSplits) else sides["all"],
            "scorers": {**study.scorers, **trained},
            "ood_eval": dict(zip(study.ood_eval, known[ends:], strict=True)),
        }
    )


def _replace_unreachable(sources: Sequence[Component]) -> list[Component]:
    """A hub that was not reached is not tried again: each try takes a good part of a minute."""
    found: list[Component] = []
    for source in sources:
        lost = any(isinstance(each, OfflineSource) for each in found)
        here = not (lost and _uses_hub(source)) and _is_available(source)
        found.append(source if here else OfflineSource(name=canonical_json(dump_component(source))))
    return found


def _is_available(source: Component) -> bool:
    try:
        as_source(source).content_hash()
    except HubUnreachableError:
        return False
    return True


def _uses_hub(source: Component) -> bool:
    if isinstance(source, Hub):
        return not Path(source.id).exists()
    within = [getattr(source, name) for name in type(source).model_fields]
    each = [item for value in within for item in (value if isinstance(value, tuple) else (value,))]
    return any(_uses_hub(item) for item in each if isinstance(item, Component))
