"""A gold reward that the study trains: a Bradley-Terry model on human pairs that nothing else in the study sees."""

from __future__ import annotations

from collections.abc import Sequence
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
    differences mean anything. Keep `data` disjoint from the study's own pairs; prompts of the test split in it are left out.
    """

    PLACES: ClassVar[frozenset[str]] = frozenset({"model"})

    data: Annotated[Component, Kind("data")]
    model: Model
    recipe: Reward = Field(default_factory=Reward)

    def identity(self) -> str:
        return "trained by the study"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        raise StudyError("trained_reward works inside a study, which trains it; use reward_model for one that exists")

    def score_with(self, folder: Path, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        """Scores by the model that the study trained into `folder`."""
        from trimtab.lm.forms import choose_form  # noqa: PLC0415
        from trimtab.lm.models import open_trained  # noqa: PLC0415
        from trimtab.lm.rewards import ResponseRewards, load_head, rewards  # noqa: PLC0415
        from trimtab.lm.rows import batches, encode  # noqa: PLC0415

        loaded = open_trained(folder, runtime.notify, runtime.device)
        form = choose_form(loaded.model)
        module = load_head(ResponseRewards(loaded.model), folder)
        rows = [encode(loaded.chat, each.prompt, each.text) for each in completions]
        values: dict[int, float] = {}
        with runtime.progress("Scoring answers", len(rows), "answers") as tick:
            for places in batches([len(row) for row in rows], runtime.token_budget):
                found = rewards(module, [rows[place] for place in places], loaded.pad_id, form)
                values.update({place: first for place, (first, _) in zip(places, found, strict=True)})
                tick(len(places))
        return [Score(prompt_id=each.prompt_id, value=values[place]) for place, each in enumerate(completions)]
