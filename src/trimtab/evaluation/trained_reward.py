"""A gold reward that the study trains: a Bradley-Terry model on human pairs that nothing else in the study sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.components import Component, Kind
from trimtab.errors import StudyError
from trimtab.lm.weights import Model
from trimtab.protocols import Runtime
from trimtab.training.settings import Reward
from trimtab.types import Completion, Score


class TrainedReward(Component):
    """A reward model trained on `data` and nothing else; its agreement with people on the test pairs stands in the report.

    It is a proxy: at best it imitates the people who labeled `data`. Its unit is nats of Bradley-Terry log-odds, and only
    differences mean anything. Keep `data` disjoint from the study's own pairs; pairs whose prompt stands on any
    of its three sides are left out.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset({"model"})

    data: Annotated[Component, Kind("data")]
    model: Model
    recipe: Reward = Field(default_factory=Reward)

    def identity(self) -> str:
        return "trained by the study"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        raise StudyError("trained_reward works inside a study, which trains it; use reward_model for one that exists")

    def score_with(
        self, folder: Path, completions: Sequence[Completion], wanted: AbstractSet[int], runtime: Runtime
    ) -> Iterator[dict[int, Score]]:
        """Scores by the model that the study trained into `folder`, by the places of the completions that are `wanted`, a
        batch at a time."""
        from trimtab.lm.rewards import RewardReader  # noqa: PLC0415
        from trimtab.lm.rows import encode  # noqa: PLC0415

        reader = RewardReader.opened(folder, runtime.notify, runtime.device)
        rows = [encode(reader.loaded.chat, each.prompt, each.text) for each in completions]
        with runtime.progress("Scoring answers", len(rows), "answers") as tick:
            tick(len(rows) - len(wanted))
            for found in reader.read(rows, runtime.token_budget, wanted):
                new = {place: first for place, (first, _) in found.items() if place in wanted}
                yield {
                    place: Score(prompt_id=completions[place].prompt_id, value=value) for place, value in new.items()
                }
                tick(len(new))
