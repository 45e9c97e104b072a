"""The `study_reward_model` scorer: the study trains a Bradley-Terry reward model on separate human-labeled pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.config.training import RewardModelSettings
from trimtab.core.component import Component, ComponentField
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.types import Completion, Score

ScoreChunk = Callable[[Sequence[Completion], ProgressTick], list[Score]]


class StudyRewardModel(Component):
    """A reward model that the study trains on `data`. The report states its agreement with the human labels of the test pairs.

    It is a proxy: at best it imitates the annotators who labeled `data`. Rewards are Bradley-Terry log-odds in nats, and
    only differences are meaningful. Pairs whose prompt occurs in the study are excluded: in one of its splits if it has one
    source, otherwise anywhere in its sources, so that studies that split the same sources differently share the model.
    """

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"model"})

    data: Annotated[Component, ComponentField("sources")]
    model: Model
    training: RewardModelSettings = Field(default_factory=RewardModelSettings)

    def content_hash(self) -> str:
        return "trained by the study"

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        raise StudyError(
            "study_reward_model works only in a study, which trains it; use reward_model for a published model"
        )

    def load_checkpoint(self, folder: Path, runtime: Runtime) -> ScoreChunk:
        """The function that scores completions with the model trained into `folder`, in their order."""
        from trimtab.models.packing.pair_batch import tokenize_pair  # noqa: PLC0415
        from trimtab.models.scoring.reward_head import RewardReader  # noqa: PLC0415

        reader = RewardReader.load(folder, runtime.notify, runtime.device)

        def score_chunk(completions: Sequence[Completion], tick: ProgressTick) -> list[Score]:
            rows = [tokenize_pair(reader.loaded.chat, completion.prompt, completion.text) for completion in completions]
            rewards: dict[int, float] = {}
            for batch in reader.iter_rewards(rows, runtime.token_budget):
                rewards |= {index: first for index, (first, _) in batch.items()}
                tick(len(batch))
            return [Score(prompt_id=each.prompt_id, value=rewards[index]) for index, each in enumerate(completions)]

        return score_chunk
