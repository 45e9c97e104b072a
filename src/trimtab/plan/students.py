"""Who learns from the labels: every row's student, and how each is measured."""

from __future__ import annotations

from typing import Literal

from trimtab.annotators.prompted import Prompted
from trimtab.components import Component
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.lm.weights import Model
from trimtab.plan.answers import measured
from trimtab.plan.elsewhere import elsewhere
from trimtab.plan.judges import judged
from trimtab.plan.labels import Labels
from trimtab.plan.order import in_own_order
from trimtab.plan.parts import ArmStages, Plan
from trimtab.stages.annotate import Reads, annotate_stage
from trimtab.stages.engines import engines_of
from trimtab.stages.generate import generate_stage
from trimtab.stages.logprobs import logprobs_stage
from trimtab.stages.models import ModelSource
from trimtab.stages.reward import read_rewards_stage, reward_stage
from trimtab.stages.score import pair_rewards_stage, score_stage
from trimtab.stages.split import split_stage
from trimtab.stages.stage import Stage
from trimtab.stages.train import dpo_stage, sft_stage
from trimtab.study import Arm, GivenSides, Study

UNLABELED = "no human labels on the unlabeled pairs"
LABELS_ALONE = "its labels alone were asked for (train: false)"


class Students:
    """The stages of one study. Stages that two rows share are built once, here or among the labels."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.split = _split(study)
        self.labels = Labels(study, self.split)
        self.shared_sft = self.labels.student_sft
        self.trained = {
            name: reward_stage(f"reward.{name}", scorer, self.split, study.max_tokens, study.seed)
            for name, scorer in study.evaluation.items()
            if isinstance(scorer, TrainedReward)
        }

    def plan(self, human_on_unlabeled: bool) -> Plan:
        rows = [self._base(), *([] if self._choosing else self._sft())]
        for name, arm in self.labels.arms.items():
            rows.append(
                ArmStages(name=name, description=arm.description, skipped=UNLABELED)
                if not human_on_unlabeled and self.labels.needs_human(name)
                else self._arm(name, arm)
            )
        rows.append(self._weak_model())
        found = judged(self.study, self.labels, rows)
        beside = measured(self.study, self.split, rows)
        return Plan(
            split=self.split,
            arms=found.rows,
            learning=self.labels.learning(),
            rewards={name: self._rewards(name, "test") for name in self.study.evaluation},
            label_rewards={
                name: self._rewards(name, "unlabeled") for name in self.study.evaluation if self.study.reward_unlabeled
            },
            against=found.against,
            people=found.people,
            vectors=beside.vectors,
            divergences=beside.divergences,
            elsewhere=elsewhere(self.study, self.split, rows).choices,
        )

    def _rewards(self, name: str, side: Literal["test", "unlabeled"]) -> Stage:
        told, trained = f"rewards.{side}.{name}", self.trained.get(name)
        if trained is not None:
            return read_rewards_stage(told, trained, self.split, (side,))
        return pair_rewards_stage(told, self.study.evaluation[name], self.split, side)

    @property
    def _choosing(self) -> bool:
        """Whether students learn to say which response is better, instead of to answer."""
        return self.study.training.student == "preference"

    def _base(self) -> ArmStages:
        row = ArmStages(name="base", description="the student as it was published")
        student = self.study.models.student
        return self._predicting(row, student) if self._choosing else self._evaluated(row, student)

    def _predicting(self, row: ArmStages, model: ModelSource) -> ArmStages:
        """What the model says of the test pairs, asked in the words in which it was trained, in both orders."""
        predictions = annotate_stage(
            f"predict.{row.name}", Prompted(), self.split, Reads(asked={"weak": model}), side="test"
        )
        return ArmStages(**{**vars(row), "predictions": predictions})

    def _sft(self) -> list[ArmStages]:
        if isinstance(self.shared_sft, Model):
            return []
        row = ArmStages(
            name="sft",
            description="the student after SFT on the labeled pairs' preferred responses",
            training=self.shared_sft,
        )
        return [self._evaluated(row, self.shared_sft)]

    def _arm(self, name: str, arm: Arm) -> ArmStages:
        labels, kind = self.labels.of(name), type(arm.annotator).__name__
        row = ArmStages(name=name, description=arm.description, labels=labels, annotator=kind)
        if not arm.train:
            return ArmStages(**{**vars(row), "skipped": LABELS_ALONE})
        if self._choosing:
            recipe = arm.preference or self.study.training.preference
            training = self.labels.preference(name, self.study.models.student, labels, recipe)
            return self._predicting(ArmStages(**{**vars(row), "training": training}), training)
        start = self._start(name, labels)
        reference = logprobs_stage(
            f"logprobs.{start.name.removeprefix('sft.')}-sft" if isinstance(start, Stage) else "logprobs.student-base",
            start,
            self.split,
            ("unlabeled", "test"),
        )
        dpo = arm.dpo or self.study.training.dpo
        training = dpo_stage(f"dpo.{name}", start, self.split, labels, reference, dpo, self.study.seed)
        policy = logprobs_stage(f"logprobs.{name}", training, self.split, ("test",))
        aligned = ArmStages(**{**vars(row), "training": training, "policy": policy, "reference": reference})
        return self._evaluated(aligned, training)

    def _start(self, name: str, labels: Stage) -> ModelSource:
        training = self.study.training
        if training.sft is None or training.sft_target == "shared":
            return self.shared_sft
        return sft_stage(f"sft.{name}", self.study.models.student, self.split, labels, training.sft, self.study.seed)

    def _weak_model(self) -> ArmStages:
        weak = self.labels.arms["weak"].annotator
        if self._choosing and engines_of(weak):
            predictions = annotate_stage(
                "predict.weak_model", weak, self.split, Reads(asked=self.labels.asked("weak", weak)), side="test"
            )
            description = "the weak model itself, asked as the arm `weak` asks it"
            return ArmStages(name="weak_model", description=description, predictions=predictions)
        row = ArmStages(
            name="weak_model",
            description="the weak model itself, aligned on the labeled pairs",
            training=self.labels.weak,
            policy=self.labels.weak_policy,
            reference=self.labels.weak_reference,
        )
        return row if self._choosing else self._evaluated(row, self.labels.weak)

    def _evaluated(self, row: ArmStages, model: ModelSource) -> ArmStages:
        study = self.study
        completions = generate_stage(
            f"generate.{row.name}", model, self.split, study.generation, study.prompts, draw=in_own_order(study)
        )
        scores = {
            name: score_stage(f"score.{row.name}.{name}", scorer, completions, self.trained.get(name))
            for name, scorer in study.evaluation.items()
        }
        return ArmStages(**{**vars(row), "completions": completions, "scores": scores})


def _split(study: Study) -> Stage:
    """The pairs, read and split; three given sides are not drawn, so that the seed does not bear on them."""
    sides = (
        {name: getattr(study.data, name) for name in GivenSides.model_fields}
        if isinstance(study.data, GivenSides)
        else {}
    )
    sources: dict[str, Component] = sides or {"all": study.data}
    models = {"weak": study.models.weak, "student": study.models.student}
    if models["weak"].base == models["student"].base:
        del models["weak"]
    drawn = study.split.model_copy(update={"seed": study.split_seed}) if "all" in sources else study.split
    return split_stage(sources, drawn, study.max_tokens, models)
