"""Who labels: the weak model's stages, and the labels of every arm, over one split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.annotators.flip import Flip
from trimtab.annotators.human import Human
from trimtab.annotators.implicit_reward import ImplicitReward
from trimtab.components import Component
from trimtab.engines.transformers import Transformers
from trimtab.errors import StudyError
from trimtab.lm.weights import Model
from trimtab.prompts.preference import PLAIN
from trimtab.protocols import Exam, Examines, LearnsFromHeldOut, LearnsReward, ReadsFeatures
from trimtab.stages.annotate import Reads, Side, annotate_stage, as_annotator
from trimtab.stages.calibrate import calibrate_stage
from trimtab.stages.engines import engines_of
from trimtab.stages.features import features_stage
from trimtab.stages.filter import as_filter, filter_stage
from trimtab.stages.held_out import fold_stage, held_out_stage, part_stage
from trimtab.stages.logprobs import logprobs_stage
from trimtab.stages.models import ModelSource
from trimtab.stages.preference import preference_stage
from trimtab.stages.reward import read_rewards_stage, supervisor_stage
from trimtab.stages.stage import Stage
from trimtab.stages.train import dpo_stage, sft_stage
from trimtab.study import Arm, Study
from trimtab.training.settings import Preference, Sft

ANSWERING = "@weak.preference"
TAUGHT = "@ARM.preference"


def arms_of(study: Study) -> dict[str, Arm]:
    """The arms that every study has, under its own settings where it gives some, and the study's."""
    weak_dpo = study.training.weak_dpo or study.training.dpo
    always = {
        "human": Arm(annotator=Human(), description="student on human labels: the ceiling"),
        "weak": Arm(annotator=ImplicitReward(beta=weak_dpo.beta), description="student on the weak model's labels"),
        "flipped": Arm(
            annotator=Flip(like="weak", seed=study.seed),
            description="student on human labels, flipped at random to the weak agreement",
        ),
    }
    return {**always, **study.arms}


class Labels:
    """The weak model that learns from the split's labeled pairs, and what each arm says of its unlabeled ones.

    Stages that two arms share are built once, here. A fold of the labeled pairs is a split too: `whole` are then the labels
    over all pairs, whose tables of published models it reads, and `ending` tells its stages from those.
    """

    def __init__(
        self,
        study: Study,
        split: Stage,
        whole: Labels | None = None,
        ending: str = "",
        labeling: Sequence[Side] = ("unlabeled",),
    ) -> None:
        """`labeling` are the sides of the split for which labels are asked."""
        self.study, self.split, self.ending, self.labeling = study, split, ending, tuple(labeling)
        self.root: Labels = whole or self
        self.arms = arms_of(study)
        self._built: dict[str, Stage] = {}
        training = study.training
        self.student_sft = self._sft("sft.student", study.models.student, training.sft)
        self.weak_base = self._sft("sft.weak-model", study.models.weak, training.weak_sft or training.sft)
        self.weak_reference = self._logprobs("weak-model-sft", self.weak_base, ("labeled", "unlabeled", "test"))
        weak_dpo = training.weak_dpo or training.dpo
        self.weak = dpo_stage(
            f"dpo.weak-model{ending}", self.weak_base, split, None, self.weak_reference, weak_dpo, study.seed
        )
        self.weak_policy = self._logprobs("weak-model", self.weak, ("unlabeled", "test"))

    def of(self, name: str, asking: tuple[str, ...] = ()) -> Stage:
        """The labels of an arm as its student is given them, built after those of the arms that its annotator reads."""
        if name in asking:
            raise StudyError(f"arms.{name}: its labels are made from its own, by way of {' → '.join(asking)}")
        if name not in self.arms:
            known = ", ".join(self.arms)
            raise StudyError(f"arms.{asking[-1]}.annotator: there is no arm {name!r} (there are: {known})")
        if name not in self._built:
            self._built[name] = self._weighed(name, self.given(name, asking), asking)
        return self._built[name]

    def held_out(self, name: str, folds: int, of: int | None = None) -> Stage:
        """The arm's labels of the labeled pairs, by annotators that did not learn from them: one for each fold, or one for
        all where it learns from none. `of`: each learns from so many pairs at most."""
        count = folds if self.learns(name) else 1
        seed, ending = self.study.seed, self.ending if of is None else f"{self.ending}.of-{of}"
        splits = [fold_stage(self.split, fold, count, seed) for fold in range(count)]
        parts = splits if of is None else [part_stage(each, {"labeled": of}, seed) for each in splits]
        labels = [
            Labels(self.study, each, self.root, f"{ending}.fold-{place}").given(name)
            for place, each in enumerate(parts, 1)
        ]
        return held_out_stage(f"held-out.{name}{ending}", self.split, labels)

    def learns(self, name: str) -> bool:
        """Whether an arm's labels depend on the labeled pairs."""
        arm, annotator = self.arms[name], as_annotator(self.arms[name].annotator)
        trained = [model for model in annotator.models() if isinstance(self._known().get(model), Stage)]
        asked = [model for model in self.asked(name, arm.annotator).values() if isinstance(model, Stage)]
        if trained or asked or isinstance(annotator, ReadsFeatures | LearnsReward):
            return True
        return any(
            self.arms[other].calibration is not None
            or isinstance(self.arms[other].filter, LearnsFromHeldOut)
            or self.learns(other)
            for other in annotator.arms()
        )

    def needs_human(self, name: str, asking: tuple[str, ...] = ()) -> bool:
        """Whether an arm's labels are made from human labels of the unlabeled pairs, by way of other arms or not."""
        if name not in self.arms or name in asking:
            return False  # said with its place once the labels are built
        arm = self.arms[name]
        if isinstance(arm.annotator, Human | Flip):
            return True
        read = [*as_annotator(arm.annotator).arms(), *(as_filter(arm.filter).arms() if arm.filter else ())]
        read += [teacher for model in _ours(arm.annotator).values() if (teacher := _teacher(model))]
        return any(self.needs_human(other, (*asking, name)) for other in read)

    def learning(self) -> tuple[str, ...]:
        """The arms for which something is learned from the labeled pairs besides the weak model."""
        return tuple(
            name
            for name, arm in self.arms.items()
            if isinstance(arm.annotator, ReadsFeatures | LearnsReward)
            or arm.calibration is not None
            or isinstance(arm.filter, LearnsFromHeldOut)
        )

    def asked(self, arm: str, annotator: Component, asking: tuple[str, ...] = ()) -> dict[str, ModelSource]:
        """The study's own models among those that the annotator asks, by the names that it gives them."""
        return self.own(annotator, f"arms.{arm}.annotator", asking)

    def own(self, component: Component, place: str, asking: tuple[str, ...] = ()) -> dict[str, ModelSource]:
        """The same of any component that asks; `place` is where the study has it, `asking` whose labels need it."""
        exam = component.exam() if isinstance(component, Examines) else PLAIN
        return {
            name: self._examined(model, exam, f"{place}.{name}", asking) for name, model in _ours(component).items()
        }

    def _examined(self, model: str, exam: Exam, place: str, asking: tuple[str, ...]) -> ModelSource:
        """A model of the study; where it is one that learns to answer, on this exam."""
        if model == ANSWERING:
            return self._answering(exam)
        teacher = _teacher(model)
        return self._own(model, place) if teacher is None else self._taught(teacher, exam, place, asking)

    def _taught(self, teacher: str, exam: Exam, place: str, asking: tuple[str, ...]) -> Stage:
        """The student, trained on an arm's labels to answer what it will be asked."""
        if teacher not in self.arms:
            raise StudyError(f"{place}: there is no arm {teacher!r} (there are: {', '.join(self.arms)})")
        if self.root is not self:
            raise StudyError(
                f"{place}: @{teacher}.preference learns from labels of the unlabeled pairs, and none of these is held out; "
                "how good its labels are cannot be told from the labeled pairs, so leave out what asks for that "
                "(calibration, a filter that learns)"
            )
        recipe = self.arms[teacher].preference or self.study.training.preference
        name = f"{teacher}-{exam.name}" if exam.name else teacher
        return self.preference(name, self.study.models.student, self.of(teacher, asking), recipe, exam)

    def preference(
        self, name: str, model: Model, labels: Stage | None, recipe: Preference, exam: Exam = PLAIN
    ) -> Stage:
        name = f"preference.{name}{self.ending}"
        return preference_stage(name, model, self.split, labels, recipe, self.study.seed, exam)

    def _answering(self, exam: Exam) -> Stage:
        """The weak model, trained on the labeled pairs to answer what it will be asked."""
        recipe = self.study.training.weak_preference or self.study.training.preference
        name = f"weak-model-{exam.name}" if exam.name else "weak-model"
        return self.preference(name, self.study.models.weak, None, recipe, exam)

    def given(self, name: str, asking: tuple[str, ...] = (), side: Side = "unlabeled") -> Stage:
        """The labels of an arm as its annotator gives them."""
        arm, annotator = self.arms[name], as_annotator(self.arms[name].annotator)
        reads = Reads(
            tables={model: self._table(model, name) for model in annotator.models()},
            labels={other: self.of(other, (*asking, name)) for other in annotator.arms()},
            asked=self.asked(name, arm.annotator, (*asking, name)),
            features=self._features(name, annotator) if isinstance(annotator, ReadsFeatures) else None,
            reward=self._reward(name, annotator) if isinstance(annotator, LearnsReward) else None,
        )
        told = "annotate" if side == "unlabeled" else f"annotate-{side}"
        return annotate_stage(f"{told}.{name}{self.ending}", arm.annotator, self.split, reads, side)

    def _weighed(self, name: str, labels: Stage, asking: tuple[str, ...]) -> Stage:
        """The labels once calibrated and filtered, where the arm asks for that."""
        arm = self.arms[name]
        if arm.calibration is not None:
            held_out = self.held_out(name, arm.calibration.folds)
            labels = calibrate_stage(
                f"calibrate.{name}{self.ending}", arm.calibration, self.split, labels, held_out, self.study.seed
            )
        if arm.filter is not None:
            read = {other: self.of(other, (*asking, name)) for other in as_filter(arm.filter).arms()}
            learned = self.held_out(name, arm.filter.folds) if isinstance(arm.filter, LearnsFromHeldOut) else None
            labels = filter_stage(f"filter.{name}{self.ending}", arm.filter, self.split, labels, read, learned)
        return labels

    def _features(self, arm: str, annotator: ReadsFeatures) -> Stage:
        asked = annotator.features()
        model = self._model(asked.model, f"arms.{arm}.annotator.model")
        # a published model's table serves every fold; what a fold trained has seen that fold's labeled pairs alone
        home = self if isinstance(model, Stage) else self.root
        return features_stage(f"features.{arm}{home.ending}", model, asked, home.split, ("labeled", *home.labeling))

    def _reward(self, arm: str, annotator: LearnsReward) -> Stage:
        asked = annotator.reward()
        model = self._model(asked.model, f"arms.{arm}.annotator.model")
        name = f"{arm}{self.ending}"
        supervisor = supervisor_stage(f"supervisor.{name}", model, asked.recipe, self.split, self.study.seed)
        return read_rewards_stage(f"supervisor-rewards.{name}", supervisor, self.split, self.labeling)

    def _model(self, name: str, place: str) -> ModelSource:
        return self._own(name, place) if name.startswith("@") else Model(base=name)

    def _own(self, name: str, place: str) -> ModelSource:
        known = self._known()
        if name not in known:
            raise StudyError(f"{place}: no model {name!r} is trained (there are: {', '.join([*known, TAUGHT])})")
        return known[name]

    def _known(self) -> Mapping[str, ModelSource]:
        study = self.study
        return {
            "@weak": self.weak,
            "@weak.sft": self.weak_base,
            "@weak.base": study.models.weak,
            ANSWERING: self._answering(PLAIN),
            "@student": study.models.student,
            "@student.sft": self.student_sft,
        }

    def _sft(self, name: str, model: Model, recipe: Sft | None) -> ModelSource:
        if recipe is None:
            return model
        return sft_stage(f"{name}{self.ending}", model, self.split, None, recipe, self.study.seed)

    def _logprobs(self, name: str, model: ModelSource, sides: tuple[str, ...]) -> Stage:
        return logprobs_stage(f"logprobs.{name}{self.ending}", model, self.split, sides)

    def _table(self, model: str, arm: str) -> Stage:
        known = {"@weak": self.weak_policy, "@weak.sft": self.weak_reference}
        if model in known:
            return known[model]
        if model.startswith("@"):
            raise StudyError(f"arms.{arm}.annotator: no model {model!r} is trained (there are: {', '.join(known)})")
        return self._logprobs(arm, Model(base=model), self.labeling)


def _ours(component: Component) -> dict[str, str]:
    """The names that a study gives its own models, of those that the component asks, by its names for them."""
    return {
        name: engine.model
        for name, engine in engines_of(component).items()
        if isinstance(engine, Transformers) and engine.model.startswith("@")
    }


def _teacher(model: str) -> str | None:
    """The arm from whose labels the model `@ARM.preference` learned to choose; None for all others."""
    arm, dot, trained = model.removeprefix("@").rpartition(".")
    return arm if dot and trained == "preference" and model != ANSWERING else None
