"""A gold reward that the study trains: a Bradley-Terry model on human pairs that nothing else in the study sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.config.training import RewardModelSettings
from trimtab.core.component import Component, ComponentField
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.types import Completion, Score


class StudyRewardModel(Component):
    """A reward model trained on `data` and nothing else; its agreement with people on the test pairs stands in the report.

    It is a proxy: at best it imitates the people who labeled `data`. Its unit is nats of Bradley-Terry log-odds, and only
    differences mean anything. Keep `data` disjoint from the study's own pairs; pairs whose prompt stands on any
    of its three sides are left out.
    """

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"model"})

    data: Annotated[Component, ComponentField("sources")]
    model: Model
    recipe: RewardModelSettings = Field(default_factory=RewardModelSettings)

    def content_hash(self) -> str:
        return "trained by the study"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        raise StudyError("trained_reward works inside a study, which trains it; use reward_model for one that exists")

    def score_with_checkpoint(
        self, folder: Path, completions: Sequence[Completion], indices: AbstractSet[int], runtime: Runtime
    ) -> Iterator[dict[int, Score]]:
        """Scores by the model that the study trained into `folder`, by the places of the completions that are `wanted`, a
        batch at a time."""
        from trimtab.models.packing.pair_batch import tokenize_pair  # noqa: PLC0415
        from trimtab.models.scoring.reward_head import RewardReader  # noqa: PLC0415

        reader = RewardReader.load(folder, runtime.notify, runtime.device)
        rows = [tokenize_pair(reader.loaded.chat, each.prompt, each.text) for each in completions]
        with runtime.progress("Scoring answers", len(rows), "answers") as tick:
            tick(len(rows) - len(indices))
            for found in reader.iter_rewards(rows, runtime.token_budget, indices):
                new = {place: first for place, (first, _) in found.items() if place in indices}
                yield {
                    place: Score(prompt_id=completions[place].prompt_id, value=value) for place, value in new.items()
                }
                tick(len(new))
