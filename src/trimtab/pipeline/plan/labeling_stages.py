"""Who labels: the weak model's stages, and the labels of every arm, over one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.annotators.human import Human
from trimtab.annotators.implicit_reward import ImplicitReward
from trimtab.annotators.noisy_human import NoisyHuman
from trimtab.config.study import Arm, Study
from trimtab.config.training import PreferenceModelSettings, SftSettings
from trimtab.core.annotator_inputs import TrainingTask
from trimtab.core.component import Component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import HasTrainingTask, UsesFeatures, UsesOutOfFoldLabels, UsesRewardModel
from trimtab.engines.transformers import Transformers
from trimtab.errors import StudyError
from trimtab.models.config import Model
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.annotate import AnnotatorDependencies, LabelSplit, annotate_stage, as_annotator
from trimtab.pipeline.stages.calibrate import calibrate_stage
from trimtab.pipeline.stages.cross_fit import cv_fold_stage, out_of_fold_stage, subsample_stage
from trimtab.pipeline.stages.filter import as_filter, filter_stage
from trimtab.pipeline.stages.hidden_states import hidden_states_stage
from trimtab.pipeline.stages.logprobs import logprobs_stage
from trimtab.pipeline.stages.reward_table import reward_table_stage
from trimtab.pipeline.stages.train_dpo import dpo_stage
from trimtab.pipeline.stages.train_preference_model import preference_model_stage
from trimtab.pipeline.stages.train_reward_model import reward_model_stage
from trimtab.pipeline.stages.train_sft import sft_stage
from trimtab.prompts.comparison import DEFAULT_TRAINING_TASK

WEAK_PREFERENCE_MODEL = "@weak.preference_model"
ARM_PREFERENCE_MODEL = "@ARM.preference_model"


def build_arms(study: Study) -> dict[str, Arm]:
    """The arms that every study has, under its own settings where it gives some, and the study's."""
    weak_dpo = study.training.weak_dpo or study.training.dpo
    always = {
        "human": Arm(annotator=Human(), description="student on human labels: the ceiling"),
        "weak": Arm(annotator=ImplicitReward(beta=weak_dpo.beta), description="student on the weak model's labels"),
        "flipped": Arm(
            annotator=NoisyHuman(arm="weak", seed=study.seed),
            description="student on human labels, flipped at random to the weak agreement",
        ),
    }
    return {**always, **study.arms}


class LabelingPlanner:
    """The weak model that learns from the split's labeled pairs, and what each arm says of its unlabeled ones.

    Stages that two arms share are built once, here. A fold of the labeled pairs is a split too: `whole` are then the labels
    over all pairs, whose tables of published models it reads, and `ending` tells its stages from those.
    """

    def __init__(
        self,
        study: Study,
        split: Stage,
        root: LabelingPlanner | None = None,
        name_suffix: str = "",
        label_splits: Sequence[LabelSplit] = ("unlabeled",),
    ) -> None:
        """`labeling` are the sides of the split for which labels are asked."""
        self.study, self.split, self.name_suffix, self.label_splits = study, split, name_suffix, tuple(label_splits)
        self.root: LabelingPlanner = root or self
        self.arms = build_arms(study)
        self._built: dict[str, Stage] = {}
        training = study.training
        self.student_sft = self._sft_or_base("sft.student", study.models.student, training.sft)
        self.weak_sft = self._sft_or_base("sft.weak-model", study.models.weak, training.weak_sft or training.sft)
        self.weak_sft_logprobs = self._logprobs("weak-model-sft", self.weak_sft, ("labeled", "unlabeled", "test"))
        weak_dpo = training.weak_dpo or training.dpo
        self.weak_dpo = dpo_stage(
            f"dpo.weak-model{name_suffix}", self.weak_sft, split, None, self.weak_sft_logprobs, weak_dpo, study.seed
        )
        self.weak_dpo_logprobs = self._logprobs("weak-model", self.weak_dpo, ("unlabeled", "test"))

    def final_labels(self, name: str, requested_by: tuple[str, ...] = ()) -> Stage:
        """The labels of an arm as its student is given them, built after those of the arms that its annotator reads."""
        if name in requested_by:
            raise StudyError(f"arms.{name}: its labels are made from its own, by way of {' → '.join(requested_by)}")
        if name not in self.arms:
            known = ", ".join(self.arms)
            raise StudyError(f"arms.{requested_by[-1]}.annotator: there is no arm {name!r} (there are: {known})")
        if name not in self._built:
            self._built[name] = self._postprocess(name, self.raw_labels(name, requested_by), requested_by)
        return self._built[name]

    def out_of_fold_labels(self, name: str, folds: int, max_labeled: int | None = None) -> Stage:
        """The arm's labels of the labeled pairs, by annotators that did not learn from them: one for each fold, or one for
        all where it learns from none. `of`: each learns from so many pairs at most."""
        count = folds if self.depends_on_labeled_pairs(name) else 1
        seed, ending = (
            self.study.seed,
            self.name_suffix if max_labeled is None else f"{self.name_suffix}.of-{max_labeled}",
        )
        splits = [cv_fold_stage(self.split, fold, count, seed) for fold in range(count)]
        parts = (
            splits
            if max_labeled is None
            else [subsample_stage(each, {"labeled": max_labeled}, seed) for each in splits]
        )
        labels = [
            LabelingPlanner(self.study, each, self.root, f"{ending}.fold-{place}").raw_labels(name)
            for place, each in enumerate(parts, 1)
        ]
        return out_of_fold_stage(f"out-of-fold.{name}{ending}", self.split, labels)

    def depends_on_labeled_pairs(self, name: str) -> bool:
        """Whether an arm's labels depend on the labeled pairs."""
        arm, annotator = self.arms[name], as_annotator(self.arms[name].annotator)
        trained = [
            model for model in annotator.logprob_models() if isinstance(self._available_models().get(model), Stage)
        ]
        asked = [
            model for model in self.resolve_annotator_models(name, arm.annotator).values() if isinstance(model, Stage)
        ]
        if trained or asked or isinstance(annotator, UsesFeatures | UsesRewardModel):
            return True
        return any(
            self.arms[other].calibration is not None
            or isinstance(self.arms[other].filter, UsesOutOfFoldLabels)
            or self.depends_on_labeled_pairs(other)
            for other in annotator.required_arms()
        )

    def needs_human_labels(self, name: str, requested_by: tuple[str, ...] = ()) -> bool:
        """Whether an arm's labels are made from human labels of the unlabeled pairs, by way of other arms or not."""
        if name not in self.arms or name in requested_by:
            return False  # said with its place once the labels are built
        arm = self.arms[name]
        if isinstance(arm.annotator, Human | NoisyHuman):
            return True
        read = [
            *as_annotator(arm.annotator).required_arms(),
            *(as_filter(arm.filter).required_arms() if arm.filter else ()),
        ]
        read += [teacher for model in _study_model_refs(arm.annotator).values() if (teacher := _label_arm(model))]
        return any(self.needs_human_labels(other, (*requested_by, name)) for other in read)

    def supervised_arms(self) -> tuple[str, ...]:
        """The arms for which something is learned from the labeled pairs besides the weak model."""
        return tuple(
            name
            for name, arm in self.arms.items()
            if isinstance(arm.annotator, UsesFeatures | UsesRewardModel)
            or arm.calibration is not None
            or isinstance(arm.filter, UsesOutOfFoldLabels)
        )

    def resolve_annotator_models(
        self, arm: str, annotator: Component, requested_by: tuple[str, ...] = ()
    ) -> dict[str, ModelSource]:
        """The study's own models among those that the annotator asks, by the names that it gives them."""
        return self.resolve_models(annotator, f"arms.{arm}.annotator", requested_by)

    def resolve_models(
        self, component: Component, place: str, requested_by: tuple[str, ...] = ()
    ) -> dict[str, ModelSource]:
        """The same of any component that asks; `place` is where the study has it, `asking` whose labels need it."""
        exam = component.training_task() if isinstance(component, HasTrainingTask) else DEFAULT_TRAINING_TASK
        return {
            name: self._resolve_engine_model(model, exam, f"{place}.{name}", requested_by)
            for name, model in _study_model_refs(component).items()
        }

    def _resolve_engine_model(self, model: str, exam: TrainingTask, place: str, asking: tuple[str, ...]) -> ModelSource:
        """A model of the study; where it is one that learns to answer, on this exam."""
        if model == WEAK_PREFERENCE_MODEL:
            return self._weak_preference_model(exam)
        teacher = _label_arm(model)
        return (
            self._resolve_study_model(model, place)
            if teacher is None
            else self._student_preference_model(teacher, exam, place, asking)
        )

    def _student_preference_model(self, teacher: str, exam: TrainingTask, place: str, asking: tuple[str, ...]) -> Stage:
        """The student, trained on an arm's labels to answer what it will be asked."""
        if teacher not in self.arms:
            raise StudyError(f"{place}: there is no arm {teacher!r} (there are: {', '.join(self.arms)})")
        if self.root is not self:
            raise StudyError(
                f"{place}: @{teacher}.preference_model learns from labels of the unlabeled pairs, and none of these is held out; "
                "how good its labels are cannot be told from the labeled pairs, so leave out what asks for that "
                "(calibration, a filter that learns)"
            )
        recipe = self.arms[teacher].preference_model or self.study.training.preference_model
        name = f"{teacher}-{exam.name}" if exam.name else teacher
        return self.preference_model(name, self.study.models.student, self.final_labels(teacher, asking), recipe, exam)

    def preference_model(
        self,
        name: str,
        model: Model,
        labels: Stage | None,
        recipe: PreferenceModelSettings,
        exam: TrainingTask = DEFAULT_TRAINING_TASK,
    ) -> Stage:
        name = f"preference-model.{name}{self.name_suffix}"
        return preference_model_stage(name, model, self.split, labels, recipe, self.study.seed, exam)

    def _weak_preference_model(self, exam: TrainingTask) -> Stage:
        """The weak model, trained on the labeled pairs to answer what it will be asked."""
        recipe = self.study.training.weak_preference_model or self.study.training.preference_model
        name = f"weak-model-{exam.name}" if exam.name else "weak-model"
        return self.preference_model(name, self.study.models.weak, None, recipe, exam)

    def raw_labels(self, name: str, requested_by: tuple[str, ...] = (), split_name: LabelSplit = "unlabeled") -> Stage:
        """The labels of an arm as its annotator gives them."""
        arm, annotator = self.arms[name], as_annotator(self.arms[name].annotator)
        reads = AnnotatorDependencies(
            logprob_tables={model: self._logprob_table(model, name) for model in annotator.logprob_models()},
            labels={other: self.final_labels(other, (*requested_by, name)) for other in annotator.required_arms()},
            engine_models=self.resolve_annotator_models(name, arm.annotator, (*requested_by, name)),
            hidden_states=self._hidden_states(name, annotator) if isinstance(annotator, UsesFeatures) else None,
            reward_table=self._reward_table(name, annotator) if isinstance(annotator, UsesRewardModel) else None,
        )
        told = "annotate" if split_name == "unlabeled" else f"annotate-{split_name}"
        return annotate_stage(f"{told}.{name}{self.name_suffix}", arm.annotator, self.split, reads, split_name)

    def _postprocess(self, name: str, labels: Stage, asking: tuple[str, ...]) -> Stage:
        """The labels once calibrated and filtered, where the arm asks for that."""
        arm = self.arms[name]
        if arm.calibration is not None:
            held_out = self.out_of_fold_labels(name, arm.calibration.folds)
            labels = calibrate_stage(
                f"calibrate.{name}{self.name_suffix}", arm.calibration, self.split, labels, held_out, self.study.seed
            )
        if arm.filter is not None:
            read = {other: self.final_labels(other, (*asking, name)) for other in as_filter(arm.filter).required_arms()}
            learned = (
                self.out_of_fold_labels(name, arm.filter.folds) if isinstance(arm.filter, UsesOutOfFoldLabels) else None
            )
            labels = filter_stage(f"filter.{name}{self.name_suffix}", arm.filter, self.split, labels, read, learned)
        return labels

    def _hidden_states(self, arm: str, annotator: UsesFeatures) -> Stage:
        asked = annotator.features()
        model = self._resolve_any_model(asked.model, f"arms.{arm}.annotator.model")
        # a published model's table serves every fold; what a fold trained has seen that fold's labeled pairs alone
        home = self if isinstance(model, Stage) else self.root
        return hidden_states_stage(
            f"hidden-states.{arm}{home.name_suffix}", model, asked, home.split, ("labeled", *home.label_splits)
        )

    def _reward_table(self, arm: str, annotator: UsesRewardModel) -> Stage:
        asked = annotator.reward_model()
        model = self._resolve_any_model(asked.model, f"arms.{arm}.annotator.model")
        name = f"{arm}{self.name_suffix}"
        supervisor = reward_model_stage(f"reward-model.{name}", model, asked.training, self.split, self.study.seed)
        return reward_table_stage(f"reward-table.{name}", supervisor, self.split, self.label_splits)

    def _resolve_any_model(self, name: str, place: str) -> ModelSource:
        return self._resolve_study_model(name, place) if name.startswith("@") else Model(base=name)

    def _resolve_study_model(self, name: str, place: str) -> ModelSource:
        known = self._available_models()
        if name not in known:
            raise StudyError(
                f"{place}: no model {name!r} is trained (there are: {', '.join([*known, ARM_PREFERENCE_MODEL])})"
            )
        return known[name]

    def _available_models(self) -> Mapping[str, ModelSource]:
        study = self.study
        return {
            "@weak": self.weak_dpo,
            "@weak.sft": self.weak_sft,
            "@weak.base": study.models.weak,
            WEAK_PREFERENCE_MODEL: self._weak_preference_model(DEFAULT_TRAINING_TASK),
            "@student": study.models.student,
            "@student.sft": self.student_sft,
        }

    def _sft_or_base(self, name: str, model: Model, recipe: SftSettings | None) -> ModelSource:
        if recipe is None:
            return model
        return sft_stage(f"{name}{self.name_suffix}", model, self.split, None, recipe, self.study.seed)

    def _logprobs(self, name: str, model: ModelSource, sides: tuple[str, ...]) -> Stage:
        return logprobs_stage(f"logprobs.{name}{self.name_suffix}", model, self.split, sides)

    def _logprob_table(self, model: str, arm: str) -> Stage:
        known = {"@weak": self.weak_dpo_logprobs, "@weak.sft": self.weak_sft_logprobs}
        if model in known:
            return known[model]
        if model.startswith("@"):
            raise StudyError(f"arms.{arm}.annotator: no model {model!r} is trained (there are: {', '.join(known)})")
        return self._logprobs(arm, Model(base=model), self.label_splits)


def _study_model_refs(component: Component) -> dict[str, str]:
    """The names that a study gives its own models, of those that the component asks, by its names for them."""
    return {
        name: engine.model
        for name, engine in list_engine_configs(component).items()
        if isinstance(engine, Transformers) and engine.model.startswith("@")
    }


def _label_arm(model: str) -> str | None:
    """The arm from whose labels the model `@ARM.preference_model` learned to choose; None for all others."""
    arm, dot, trained = model.removeprefix("@").rpartition(".")
    return arm if dot and trained == "preference_model" and model != WEAK_PREFERENCE_MODEL else None
