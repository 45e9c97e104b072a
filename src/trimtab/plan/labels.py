"""Who labels: the weak model's stages, and the labels of every arm, over one split."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.annotators.flip import Flip
from trimtab.annotators.human import Human
from trimtab.annotators.implicit_reward import ImplicitReward
from trimtab.components import Component
from trimtab.engines.transformers import Transformers
from trimtab.errors import StudyError
from trimtab.lm.weights import Model
from trimtab.stages.annotate import annotate_stage, as_annotator, engines_of
from trimtab.stages.filter import as_filter, filter_stage
from trimtab.stages.logprobs import logprobs_stage
from trimtab.stages.models import ModelSource
from trimtab.stages.preference import preference_stage
from trimtab.stages.stage import Stage
from trimtab.stages.train import dpo_stage, sft_stage
from trimtab.study import Arm, Study
from trimtab.training.settings import Preference


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

    Stages that two arms share are built once, here.
    """

    def __init__(self, study: Study, split: Stage, shared_sft: ModelSource) -> None:
        self.study, self.split, self.shared_sft = study, split, shared_sft
        self.arms = arms_of(study)
        self._built: dict[str, Stage] = {}
        training, weak = study.training, study.models.weak
        recipe = training.weak_sft or training.sft
        self.weak_base: ModelSource = (
            sft_stage("sft.weak-model", weak, split, None, recipe, study.seed) if recipe is not None else weak
        )
        self.weak_reference = logprobs_stage(
            "logprobs.weak-model-sft", self.weak_base, split, ("labeled", "unlabeled", "test")
        )
        weak_dpo = training.weak_dpo or training.dpo
        self.weak = dpo_stage("dpo.weak-model", self.weak_base, split, None, self.weak_reference, weak_dpo, study.seed)
        self.weak_policy = logprobs_stage("logprobs.weak-model", self.weak, split, ("unlabeled", "test"))

    def of(self, name: str, asking: tuple[str, ...] = ()) -> Stage:
        """The labels of an arm, built after those of the arms that its annotator reads."""
        if name in asking:
            raise StudyError(f"arms.{name}: its labels are made from its own, by way of {' → '.join(asking)}")
        if name not in self.arms:
            known = ", ".join(self.arms)
            raise StudyError(f"arms.{asking[-1]}.annotator: there is no arm {name!r} (there are: {known})")
        if name not in self._built:
            arm, annotator = self.arms[name], as_annotator(self.arms[name].annotator)
            tables = {model: self._table(model, name) for model in annotator.models()}
            others = {other: self.of(other, (*asking, name)) for other in annotator.arms()}
            models = self.asked(name, arm.annotator)
            labels = annotate_stage(f"annotate.{name}", arm.annotator, self.split, tables, others, models)
            if arm.filter is not None:
                read = {other: self.of(other, (*asking, name)) for other in as_filter(arm.filter).arms()}
                labels = filter_stage(f"filter.{name}", arm.filter, self.split, labels, read)
            self._built[name] = labels
        return self._built[name]

    def asked(self, arm: str, annotator: Component) -> dict[str, ModelSource]:
        """The study's own models among those that the annotator asks, by the names that it gives them."""
        known = self._known()
        found: dict[str, ModelSource] = {}
        for name, engine in engines_of(annotator).items():
            if isinstance(engine, Transformers) and engine.model.startswith("@"):
                if engine.model not in known:
                    raise StudyError(
                        f"arms.{arm}.annotator.{name}: no model {engine.model!r} is trained (there are: {', '.join(known)})"
                    )
                found[name] = known[engine.model]
        return found

    def preference(self, name: str, model: Model, labels: Stage | None, recipe: Preference) -> Stage:
        return preference_stage(f"preference.{name}", model, self.split, labels, recipe, self.study.seed)

    def _known(self) -> Mapping[str, ModelSource]:
        study = self.study
        recipe = study.training.weak_preference or study.training.preference
        return {
            "@weak": self.weak,
            "@weak.sft": self.weak_base,
            "@weak.base": study.models.weak,
            "@weak.preference": self.preference("weak-model", study.models.weak, None, recipe),
            "@student": study.models.student,
            "@student.sft": self.shared_sft,
        }

    def _table(self, model: str, arm: str) -> Stage:
        known = {"@weak": self.weak_policy, "@weak.sft": self.weak_reference}
        if model in known:
            return known[model]
        if model.startswith("@"):
            raise StudyError(f"arms.{arm}.annotator: no model {model!r} is trained (there are: {', '.join(known)})")
        return logprobs_stage(f"logprobs.{arm}", Model(base=model), self.split, ("unlabeled",))
