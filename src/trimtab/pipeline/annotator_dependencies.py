"""Connects what annotators require to the stages that provide it.

To add a kind of input: add a field to `Requirements` and to `AnnotatorInputs` (core/annotator_inputs.py), then one branch to
`plan_dependencies` and one line to `AnnotatorDependencies.load_inputs` here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trimtab.core.annotator_inputs import AnnotatorInputs, FeatureSpec, Requirements, RewardModelSpec
from trimtab.core.interfaces import Engine
from trimtab.pipeline.stage import Stage, StageInputs
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.hidden_states import load_hidden_states
from trimtab.pipeline.stages.reward_table import load_rewards
from trimtab.storage.schemas import load_annotations, load_logprobs, load_split_pairs
from trimtab.types import Pair

LOGPROBS, LABELS = "logprobs.", "labels."
HIDDEN_STATES, REWARD_TABLE = "hidden_states", "reward_table"


class DependencyPlanner(Protocol):
    """Builds the stages that an arm's annotator requires."""

    def logprob_table(self, model: str, arm: str) -> Stage: ...

    def final_labels(self, name: str, requested_by: tuple[str, ...] = ()) -> Stage: ...

    def hidden_states(self, arm: str, features: FeatureSpec) -> Stage: ...

    def reward_table(self, arm: str, spec: RewardModelSpec) -> Stage: ...


@dataclass(frozen=True, kw_only=True)
class AnnotatorDependencies:
    """The stages that an annotator reads besides the split, by input name, and the study's models among its engines."""

    stages: Mapping[str, Stage] = field(default_factory=dict)
    engine_models: Mapping[str, ModelSource] = field(default_factory=dict)

    def load_inputs(
        self,
        inputs: StageInputs,
        pairs: Sequence[Pair],
        engines: Mapping[str, Engine],
        requirements: Requirements,
    ) -> AnnotatorInputs:
        """The inputs for labeling these pairs."""
        has_features = HIDDEN_STATES in self.stages
        return AnnotatorInputs(
            logprobs={model: load_logprobs(inputs[f"{LOGPROBS}{model}"]) for model in self._names(LOGPROBS)},
            labels={arm: load_annotations(inputs[f"{LABELS}{arm}"]) for arm in self._names(LABELS)},
            human_labels={pair.id: pair.human for pair in pairs if pair.human is not None}
            if requirements.human_labels
            else {},
            engines=engines,
            pairs={pair.id: pair for pair in pairs} if requirements.learns else {},
            labeled_pairs=list(load_split_pairs(inputs["split"], "labeled"))
            if has_features or requirements.labeled_pairs
            else (),
            features=load_hidden_states(inputs[HIDDEN_STATES]) if has_features else {},
            rewards=load_rewards(inputs[REWARD_TABLE]) if REWARD_TABLE in self.stages else {},
        )

    def _names(self, prefix: str) -> list[str]:
        return [name.removeprefix(prefix) for name in self.stages if name.startswith(prefix)]


def plan_dependencies(
    planner: DependencyPlanner, arm: str, requirements: Requirements, requested_by: tuple[str, ...]
) -> dict[str, Stage]:
    """The stages that provide an arm's requirements, by input name. `requested_by` are the arms that need this arm."""
    stages = {f"{LOGPROBS}{model}": planner.logprob_table(model, arm) for model in requirements.logprob_models}
    for other in requirements.arms:
        stages[f"{LABELS}{other}"] = planner.final_labels(other, (*requested_by, arm))
    if requirements.features is not None:
        stages[HIDDEN_STATES] = planner.hidden_states(arm, requirements.features)
    if requirements.reward_model is not None:
        stages[REWARD_TABLE] = planner.reward_table(arm, requirements.reward_model)
    return stages
