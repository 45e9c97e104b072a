"""The labeling part of a plan: the labels of every arm, and the models that they need, for one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.annotators.human import Human
from trimtab.annotators.implicit_reward import ImplicitReward
from trimtab.annotators.noisy_human import NoisyHuman
from trimtab.config.study import Arm, Study
from trimtab.config.training import PreferenceModelSettings
from trimtab.core.annotator_inputs import FeatureSpec, Requirements, RewardModelSpec, TrainingTask
from trimtab.core.component import Component
from trimtab.core.engine_configs import get_training_task
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.pipeline.annotator_dependencies import AnnotatorDependencies, plan_dependencies
from trimtab.pipeline.plan.label_transforms import transform_labels
from trimtab.pipeline.plan.sft_stages import plan_student_sft
from trimtab.pipeline.plan.study_models import ARM_PREFERENCE_MODEL, find_preference_model, list_study_models
from trimtab.pipeline.plan.weak_models import WeakModelStages, plan_weak_models
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.annotate import LabelSplit, annotate_stage, as_annotator
from trimtab.pipeline.stages.cross_fit import cv_fold_stage, out_of_fold_stage, subsample_stage
from trimtab.pipeline.stages.filter import as_filter
from trimtab.pipeline.stages.hidden_states import hidden_states_stage
from trimtab.pipeline.stages.logprobs import logprobs_stage
from trimtab.pipeline.stages.reward_table import reward_table_stage
from trimtab.pipeline.stages.train_preference_model import preference_model_stage
from trimtab.pipeline.stages.train_reward_model import reward_model_stage
from trimtab.prompts.comparison import DEFAULT_TRAINING_TASK

# The arms whose labels need the arm that is being planned, outermost first.
RequestChain = tuple[str, ...]


def build_arms(study: Study) -> dict[str, Arm]:
    """The built-in arms, with the study's own settings for them if it has any, and the study's arms."""
    weak_dpo = study.training.weak_dpo or study.training.dpo
    built_in = {
        "human": Arm(annotator=Human(), description="student on human labels: the ceiling"),
        "weak": Arm(annotator=ImplicitReward(beta=weak_dpo.beta), description="student on the weak model's labels"),
        "flipped": Arm(
            annotator=NoisyHuman(arm="weak", seed=study.seed),
            description="student on human labels, flipped at random to the weak agreement",
        ),
    }
    return {**built_in, **study.arms}


class LabelingPlanner:
    """Plans each arm's labels of the unlabeled pairs of a split, by models that are trained on its labeled pairs.

    Stages that arms share are built once. A fold of the labeled pairs is a split too; it has its own planner, whose `root` is
    the planner of all pairs. A fold reuses the root's tables of published models, and `name_suffix` distinguishes the names
    of its stages.
    """

    def __init__(
        self,
        study: Study,
        split: Stage,
        root: LabelingPlanner | None = None,
        name_suffix: str = "",
        label_splits: Sequence[LabelSplit] = ("unlabeled",),
    ) -> None:
        """`label_splits` are the splits whose pairs are labeled."""
        self.study, self.split, self.name_suffix, self.label_splits = study, split, name_suffix, tuple(label_splits)
        self.root: LabelingPlanner = root or self
        self.arms = build_arms(study)
        self._final_labels: dict[str, Stage] = {}
        self.student_sft = plan_student_sft(study, split, self.root.split, name_suffix)
        self.weak_models = plan_weak_models(study, split, name_suffix)

    def final_labels(self, name: str, requested_by: RequestChain = ()) -> Stage:
        """The labels of an arm that its student is trained on. Raises `StudyError` for a cycle or an unknown arm."""
        if name in requested_by:
            raise StudyError(f"arms.{name}: its labels depend on themselves, through {' → '.join(requested_by)}")
        if name not in self.arms:
            known = ", ".join(self.arms)
            raise StudyError(f"arms.{requested_by[-1]}.annotator: there is no arm {name!r} (there are: {known})")
        if name not in self._final_labels:
            labels = self.raw_labels(name, requested_by)
            self._final_labels[name] = transform_labels(self, name, labels, requested_by)
        return self._final_labels[name]

    def raw_labels(self, name: str, requested_by: RequestChain = (), split_name: LabelSplit = "unlabeled") -> Stage:
        """The labels of an arm as its annotator returns them."""
        annotator = self.arms[name].annotator
        dependencies = AnnotatorDependencies(
            stages=plan_dependencies(self, name, self._requirements(name), requested_by),
            engine_models=self.resolve_annotator_models(name, (*requested_by, name)),
        )
        prefix = "annotate" if split_name == "unlabeled" else f"annotate-{split_name}"
        return annotate_stage(f"{prefix}.{name}{self.name_suffix}", annotator, self.split, dependencies, split_name)

    def out_of_fold_labels(self, name: str, folds: int, max_labeled: int | None = None) -> Stage:
        """The arm's labels of the labeled pairs, by annotators that were not trained on them.

        There is one annotator per fold, or one in all for an arm that does not learn. Each learns from at most `max_labeled`
        pairs.
        """
        num_folds = folds if self.depends_on_labeled_pairs(name) else 1
        seed, suffix = self.study.seed, self.name_suffix
        splits = [cv_fold_stage(self.split, fold, num_folds, seed) for fold in range(num_folds)]
        if max_labeled is not None:
            suffix = f"{suffix}.of-{max_labeled}"
            splits = [subsample_stage(split, {"labeled": max_labeled}, seed) for split in splits]
        labels = [
            LabelingPlanner(self.study, split, self.root, f"{suffix}.fold-{number}").raw_labels(name)
            for number, split in enumerate(splits, 1)
        ]
        return out_of_fold_stage(f"out-of-fold.{name}{suffix}", self.split, labels)

    def depends_on_labeled_pairs(self, name: str) -> bool:
        """Whether an arm's labels depend on the labeled pairs."""
        requirements = self._requirements(name)
        available = self._available_models()
        models = [
            *(available.get(model) for model in requirements.logprob_models),
            *self.resolve_annotator_models(name).values(),
        ]
        if requirements.learns or any(isinstance(model, Stage) for model in models):
            return True
        return any(
            self._postprocessing_learns(other) or self.depends_on_labeled_pairs(other) for other in requirements.arms
        )

    def needs_human_labels(self, name: str, requested_by: RequestChain = ()) -> bool:
        """Whether an arm's labels depend on human labels of the unlabeled pairs, directly or through other arms."""
        if name not in self.arms or name in requested_by:
            return False  # an error that `final_labels` reports with its setting
        arm, requirements = self.arms[name], self._requirements(name)
        if requirements.human_labels:
            return True
        sources = [*requirements.arms, *(as_filter(arm.filter).requirements().arms if arm.filter else ())]
        engine_models = map(find_preference_model, list_study_models(arm.annotator).values())
        sources += [other for other in engine_models if other is not None and other not in self.weak_models]
        return any(self.needs_human_labels(other, (*requested_by, name)) for other in sources)

    def supervised_arms(self) -> tuple[str, ...]:
        """The arms for which something besides the weak model is trained on the labeled pairs."""
        return tuple(name for name in self.arms if self._requirements(name).learns or self._postprocessing_learns(name))

    def _postprocessing_learns(self, name: str) -> bool:
        arm = self.arms[name]
        return arm.calibration is not None or (arm.filter is not None and as_filter(arm.filter).requirements().learns)

    def _requirements(self, name: str) -> Requirements:
        return as_annotator(self.arms[name].annotator).requirements()

    def resolve_annotator_models(self, arm: str, requested_by: RequestChain = ()) -> dict[str, ModelSource]:
        """The study's own models among the engines of the arm's annotator, by engine name."""
        return self.resolve_models(self.arms[arm].annotator, f"arms.{arm}.annotator", requested_by)

    def resolve_models(
        self, component: Component, setting: str, requested_by: RequestChain = ()
    ) -> dict[str, ModelSource]:
        """The study's own models among the engines of any component. `setting` is the component's setting, for errors."""
        task = get_training_task(component, DEFAULT_TRAINING_TASK)
        return {
            name: self._resolve_engine_model(model, task, f"{setting}.{name}", requested_by)
            for name, model in list_study_models(component).items()
        }

    def _resolve_engine_model(
        self, model: str, task: TrainingTask, setting: str, requested_by: RequestChain
    ) -> ModelSource:
        """A model of the study. A preference model is one that is trained on `task`."""
        name = find_preference_model(model)
        if name is None:
            return self._resolve_study_model(model, setting)
        if name in self.weak_models:
            return self._weak_preference_model(self.weak_models[name], task)
        return self._student_preference_model(name, task, setting, requested_by)

    def _student_preference_model(
        self, label_arm: str, task: TrainingTask, setting: str, requested_by: RequestChain
    ) -> Stage:
        """The student, trained on an arm's labels to perform the task."""
        if label_arm not in self.arms:
            raise StudyError(f"{setting}: there is no arm {label_arm!r} (there are: {', '.join(self.arms)})")
        if self.root is not self:
            raise StudyError(
                f"{setting}: @{label_arm}.preference_model is trained on labels of the unlabeled pairs, which cannot be held "
                "out, so its label quality cannot be measured on the labeled pairs; remove what requires that (calibration, "
                "or a filter that learns)"
            )
        settings = self.arms[label_arm].preference_model or self.study.training.preference_model
        name = f"{label_arm}-{task.name}" if task.name else label_arm
        labels = self.final_labels(label_arm, requested_by)
        return self.preference_model(name, self.study.models.student, labels, settings, task)

    def _weak_preference_model(self, weak_model: WeakModelStages, task: TrainingTask) -> Stage:
        """A weak model, trained on the labeled pairs to perform the task."""
        settings = self.study.training.weak_preference_model or self.study.training.preference_model
        name = f"{weak_model.stage_name}-{task.name}" if task.name else weak_model.stage_name
        return self.preference_model(name, weak_model.base, None, settings, task)

    def preference_model(
        self,
        name: str,
        model: Model,
        labels: Stage | None,
        settings: PreferenceModelSettings,
        task: TrainingTask = DEFAULT_TRAINING_TASK,
    ) -> Stage:
        name = f"preference-model.{name}{self.name_suffix}"
        return preference_model_stage(name, model, self.split, labels, settings, self.study.seed, task)

    def hidden_states(self, arm: str, features: FeatureSpec) -> Stage:
        model = self.resolve_any_model(features.model, f"arms.{arm}.annotator.model")
        # a published model's table is valid for every fold; a model trained in a fold has its own table
        planner = self if isinstance(model, Stage) else self.root
        splits = ("labeled", *planner.label_splits)
        return hidden_states_stage(f"hidden-states.{arm}{planner.name_suffix}", model, features, planner.split, splits)

    def reward_table(self, arm: str, spec: RewardModelSpec) -> Stage:
        name = f"reward-table.{arm}{self.name_suffix}"
        return reward_table_stage(name, self.reward_model(arm, spec), self.split, self.label_splits)

    def reward_model(self, arm: str, spec: RewardModelSpec) -> Stage:
        """The reward model that an arm's annotator trains on the labeled pairs."""
        model = self.resolve_any_model(spec.model, f"arms.{arm}.annotator.model")
        name = f"reward-model.{arm}{self.name_suffix}"
        return reward_model_stage(name, model, spec.training, self.split, self.study.seed)

    def logprob_table(self, model: str, arm: str) -> Stage:
        tables = {
            key: table
            for name, weak in self.weak_models.items()
            for key, table in ((f"@{name}", weak.dpo_logprobs), (f"@{name}.sft", weak.sft_logprobs))
        }
        if model in tables:
            return tables[model]
        if model.startswith("@"):
            raise StudyError(f"arms.{arm}.annotator: no model {model!r} is trained (there are: {', '.join(tables)})")
        return self._logprobs(arm, Model.model_validate(model), self.label_splits)

    def resolve_any_model(self, name: str, setting: str) -> ModelSource:
        """A model of the study (`@weak`), or a published one."""
        return self._resolve_study_model(name, setting) if name.startswith("@") else Model.model_validate(name)

    def _resolve_study_model(self, name: str, setting: str) -> ModelSource:
        available = self._available_models()
        if name not in available:
            names = ", ".join([*available, ARM_PREFERENCE_MODEL])
            raise StudyError(f"{setting}: no model {name!r} is trained (there are: {names})")
        return available[name]

    def _available_models(self) -> Mapping[str, ModelSource]:
        weak_models: dict[str, ModelSource] = {}
        for name, weak in self.weak_models.items():
            weak_models |= {
                f"@{name}": weak.dpo,
                f"@{name}.sft": weak.sft,
                f"@{name}.base": weak.base,
                f"@{name}.preference_model": self._weak_preference_model(weak, DEFAULT_TRAINING_TASK),
            }
        return {**weak_models, "@student": self.study.models.student, "@student.sft": self.student_sft}

    def _logprobs(self, name: str, model: ModelSource, split_names: Sequence[str]) -> Stage:
        return logprobs_stage(f"logprobs.{name}{self.name_suffix}", model, self.split, split_names)
