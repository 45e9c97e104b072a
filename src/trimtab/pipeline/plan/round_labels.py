"""Plans labels of other pairs than an arm's own, by the models that labeled those."""

from __future__ import annotations

from trimtab.config.study import Arm, Study
from trimtab.core.annotator_inputs import FeatureSpec, RewardModelSpec
from trimtab.pipeline.annotator_dependencies import AnnotatorDependencies, plan_dependencies
from trimtab.pipeline.plan.label_transforms import transform_labels
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.annotate import LabelSplit, annotate_stage, as_annotator
from trimtab.pipeline.stages.hidden_states import hidden_states_stage
from trimtab.pipeline.stages.logprobs import logprobs_stage
from trimtab.pipeline.stages.reward_table import reward_table_stage


class RoundLabelPlanner:
    """Plans labels of the pairs of `split` named `split_name`. No annotator is trained: `labeling` plans their models.

    `split` has the labeled pairs of the study. `name_suffix` ends the names of the stages.
    """

    def __init__(self, labeling: LabelingPlanner, split: Stage, split_name: LabelSplit, name_suffix: str) -> None:
        self.labeling, self.split, self.split_name, self.name_suffix = labeling, split, split_name, name_suffix

    @property
    def study(self) -> Study:
        return self.labeling.study

    @property
    def arms(self) -> dict[str, Arm]:
        return self.labeling.arms

    def final_labels(self, name: str, requested_by: tuple[str, ...] = ()) -> Stage:
        """The labels with the arm's calibration and filter."""
        return transform_labels(self, name, self.raw_labels(name, requested_by), requested_by)

    def raw_labels(self, name: str, requested_by: tuple[str, ...] = ()) -> Stage:
        """The labels as the annotator returns them."""
        annotator = self.arms[name].annotator
        dependencies = AnnotatorDependencies(
            stages=plan_dependencies(self, name, as_annotator(annotator).requirements(), requested_by),
            engine_models=self.labeling.resolve_annotator_models(name, (*requested_by, name)),
        )
        return annotate_stage(self._name("annotate", name), annotator, self.split, dependencies, self.split_name)

    def out_of_fold_labels(self, name: str, folds: int) -> Stage:
        return self.labeling.out_of_fold_labels(name, folds)

    def logprob_table(self, model: str, arm: str) -> Stage:
        source = self.labeling.resolve_any_model(model, f"arms.{arm}.annotator")
        return logprobs_stage(self._name("logprobs", model.removeprefix("@")), source, self.split, (self.split_name,))

    def hidden_states(self, arm: str, features: FeatureSpec) -> Stage:
        model = self.labeling.resolve_any_model(features.model, f"arms.{arm}.annotator.model")
        splits = ("labeled", self.split_name)
        return hidden_states_stage(self._name("hidden-states", arm), model, features, self.split, splits)

    def reward_table(self, arm: str, spec: RewardModelSpec) -> Stage:
        reward_model = self.labeling.reward_model(arm, spec)
        return reward_table_stage(self._name("reward-table", arm), reward_model, self.split, (self.split_name,))

    def _name(self, kind: str, name: str) -> str:
        return f"{kind}.{name}{self.name_suffix}"
