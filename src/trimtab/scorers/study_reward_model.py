"""The `study_reward_model` scorer: the study trains a Bradley-Terry reward model on separate human-labeled pairs."""

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

    def score_with_checkpoint(
        self, folder: Path, completions: Sequence[Completion], indices: AbstractSet[int], runtime: Runtime
    ) -> Iterator[dict[int, Score]]:
        """Yields batches of scores, by index, of the completions at `indices`, from the model trained into `folder`."""
        from trimtab.models.packing.pair_batch import tokenize_pair  # noqa: PLC0415
        from trimtab.models.scoring.reward_head import RewardReader  # noqa: PLC0415

        reader = RewardReader.load(folder, runtime.notify, runtime.device)
        rows = [tokenize_pair(reader.loaded.chat, completion.prompt, completion.text) for completion in completions]
        with runtime.progress("Scoring responses", len(rows), "responses") as tick:
            tick(len(rows) - len(indices))
            for batch in reader.iter_rewards(rows, runtime.token_budget, indices):
                rewards = {index: first for index, (first, _) in batch.items() if index in indices}
                yield {
                    index: Score(prompt_id=completions[index].prompt_id, value=value)
                    for index, value in rewards.items()
                }
                tick(len(rewards))
