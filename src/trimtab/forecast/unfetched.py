"""Data on a hub that cannot be reached: a plan goes on with a name in its place, a run never does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trimtab.components import Component, dump
from trimtab.data.hub import Hub, UnreachableError
from trimtab.errors import DataError
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.stages.split import SIDES, as_source
from trimtab.store import canonical
from trimtab.study import GivenSides, Study
from trimtab.types import Dataset


class Unfetched(Component):
    """Stands for a source whose dataset is neither here nor within reach; `name` is its settings."""

    name: str

    def load(self) -> Dataset:
        raise DataError(f"{self.name} has not been fetched; run the study where the hub can be reached")

    def identity(self) -> str:
        return f"unfetched:{self.name}"


def within_reach(study: Study) -> Study:
    """The study with an `Unfetched` for each source of pairs that cannot be identified from here. Never to be run."""
    given = isinstance(study.data, GivenSides)
    data = {side: getattr(study.data, side) for side in SIDES} if given else {"all": study.data}
    scorers = {name: each for name, each in study.evaluation.items() if isinstance(each, TrainedReward)}
    asked = [*data.values(), *(scorer.data for scorer in scorers.values()), *study.elsewhere.values()]
    known, ends = _known(asked), len(data) + len(scorers)
    sides = dict(zip(data, known[: len(data)], strict=True))
    rest = zip(scorers.items(), known[len(data) : ends], strict=True)
    trained = {name: scorer.model_copy(update={"data": source}) for (name, scorer), source in rest}
    return study.model_copy(
        update={
            "data": study.data.model_copy(update=sides) if isinstance(study.data, GivenSides) else sides["all"],
            "evaluation": {**study.evaluation, **trained},
            "elsewhere": dict(zip(study.elsewhere, known[ends:], strict=True)),
        }
    )


def _known(sources: Sequence[Component]) -> list[Component]:
    """A hub that was not reached is not tried again: each try takes a good part of a minute."""
    found: list[Component] = []
    for source in sources:
        lost = any(isinstance(each, Unfetched) for each in found)
        here = not (lost and _on_the_hub(source)) and _is_here(source)
        found.append(source if here else Unfetched(name=canonical(dump(source))))
    return found


def _is_here(source: Component) -> bool:
    try:
        as_source(source).identity()
    except UnreachableError:
        return False
    return True


def _on_the_hub(source: Component) -> bool:
    if isinstance(source, Hub):
        return not Path(source.id).exists()
    within = [getattr(source, name) for name in type(source).model_fields]
    each = [item for value in within for item in (value if isinstance(value, tuple) else (value,))]
    return any(_on_the_hub(item) for item in each if isinstance(item, Component))
