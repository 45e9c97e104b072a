"""The training and evaluation part of a plan: the student of every row, and the stages that evaluate it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from trimtab.annotators.prompted import Prompted
from trimtab.config.data_sources import PredefinedSplits, list_sources
from trimtab.config.names import SFT_ROW, build_sft_row_name
from trimtab.config.study import MAIN_WEAK_MODEL, Arm, Study
from trimtab.core.component import Component, get_kind
from trimtab.core.engine_configs import list_engine_configs
from trimtab.models.config import Model
from trimtab.pipeline.annotator_dependencies import AnnotatorDependencies
from trimtab.pipeline.plan.judge_stages import build_judge_stages, test_pairs_in_file_order
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import Plan, RowStages
from trimtab.pipeline.plan.ood_eval import build_ood_stages
from trimtab.pipeline.plan.response_metrics import build_response_metric_stages
from trimtab.pipeline.plan.round_stages import plan_rounds
from trimtab.pipeline.plan.weak_models import list_tokenizer_models
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource, is_same_model
from trimtab.pipeline.stages.annotate import annotate_stage
from trimtab.pipeline.stages.generate import generate_stage
from trimtab.pipeline.stages.logprobs import logprobs_stage
from trimtab.pipeline.stages.reward_table import reward_table_stage
from trimtab.pipeline.stages.score import pair_scores_stage, score_stage
from trimtab.pipeline.stages.split import split_stage
from trimtab.pipeline.stages.study_prompts import source_prompts_stage, split_prompts_stage
from trimtab.pipeline.stages.train_dpo import dpo_stage
from trimtab.pipeline.stages.train_reward_model import study_reward_model_stage
from trimtab.pipeline.stages.train_sft import sft_stage
from trimtab.scorers.study_reward_model import StudyRewardModel

NO_HUMAN_LABELS = "no human labels on the unlabeled pairs"
LABELS_ONLY = "labels only (labels_only: true)"


class StudentPlanner:
    """Plans the rows of one study. Stages that rows share are built once, here or by the labeling planner."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.split = _build_split(study)
        self.labeling = LabelingPlanner(study, self.split)
        self.shared_sft = self.labeling.student_sft
        # The SFT models that arms start from, with the first arm of each, by fingerprint.
        self._arm_sft: dict[str, tuple[str, Stage]] = {}
        self.reward_models = {
            name: study_reward_model_stage(
                f"study-reward-model.{name}",
                scorer,
                _build_study_prompts(study, self.split),
                study.max_length,
                study.seed,
            )
            for name, scorer in study.scorers.items()
            if isinstance(scorer, StudyRewardModel)
        }

    def build_plan(self, human_on_unlabeled: bool) -> Plan:
        study, scorers = self.study, self.study.scorers
        arm_rows = [
            RowStages(name=name, description=arm.description, skipped=NO_HUMAN_LABELS)
            if not human_on_unlabeled and self.labeling.needs_human_labels(name)
            else self._arm_row(name, arm)
            for name, arm in self.labeling.arms.items()
        ]
        rounds = plan_rounds(study, self.labeling, arm_rows, self._with_evaluation)
        rows = [self._base_row(), *self._sft_rows(), *arm_rows, *rounds.rows, self._weak_model_row()]
        judging = build_judge_stages(study, self.labeling, rows, human_on_unlabeled=human_on_unlabeled)
        response_metrics = build_response_metric_stages(study, self.split, rows)
        return Plan(
            split=self.split,
            rows=judging.rows,
            supervised_arms=self.labeling.supervised_arms(),
            test_rewards={name: self._pair_rewards(name, "test") for name in scorers},
            unlabeled_rewards={
                name: self._pair_rewards(name, "unlabeled") for name in scorers if study.score_unlabeled_pairs
            },
            baseline=judging.baseline,
            human_verdicts=judging.human_verdicts,
            unlabeled_verdicts=judging.unlabeled_verdicts,
            embeddings=response_metrics.embeddings,
            learned_similarities=response_metrics.learned_similarities,
            kl_to_reference=response_metrics.kl_to_reference,
            ood_eval=build_ood_stages(study, self.split, rows).choices,
            rounds=rounds.rounds,
        )

    def _pair_rewards(self, scorer: str, split_name: Literal["test", "unlabeled"]) -> Stage:
        name, reward_model = f"pair-scores.{split_name}.{scorer}", self.reward_models.get(scorer)
        if reward_model is not None:
            return reward_table_stage(name, reward_model, self.split, (split_name,))
        return pair_scores_stage(name, self.study.scorers[scorer], self.split, split_name)

    @property
    def _trains_preference_models(self) -> bool:
        """Whether students are trained to choose the better response instead of to respond."""
        return self.study.training.objective == "preference_model"

    def _base_row(self) -> RowStages:
        row = RowStages(name="base", description="the student as published")
        student = self.study.models.student
        if self._trains_preference_models:
            return self._with_predictions(row, student)
        return self._with_evaluation(row, student)

    def _with_predictions(self, row: RowStages, model: ModelSource) -> RowStages:
        """Adds the model's labels of the test pairs, with the prompt it was trained on, in both presentation orders."""
        dependencies = AnnotatorDependencies(engine_models={"weak": model})
        predictions = annotate_stage(f"predict.{row.name}", Prompted(), self.split, dependencies, split_name="test")
        return replace(row, predictions=predictions)

    def _sft_rows(self) -> list[RowStages]:
        """The rows that arms start from. Arms with the same SFT share one row, which has the name of the first of them."""
        if self._trains_preference_models or isinstance(self.shared_sft, Model):
            return []
        if self._has_sft_per_arm:
            return [self._arm_sft_row(arm, sft) for arm, sft in self._arm_sft.values()]
        data = "the labeled pairs' preferred responses"
        if not isinstance(self.study.training.sft_data, str):
            data = "the prompts and responses of training.sft_data"
        description = f"the student after SFT on {data}"
        row = RowStages(name=SFT_ROW, description=description, training=self.shared_sft)
        return [self._with_evaluation(row, self.shared_sft)]

    def _arm_sft_row(self, arm: str, sft: Stage) -> RowStages:
        description = f"the student after SFT on the responses that the labels of {arm} prefer"
        return self._with_evaluation(
            RowStages(name=build_sft_row_name(arm), description=description, training=sft), sft
        )

    @property
    def _has_sft_per_arm(self) -> bool:
        return self.study.training.sft is not None and self.study.training.sft_data == "arm_chosen"

    def _arm_row(self, name: str, arm: Arm) -> RowStages:
        labels, annotator = self.labeling.final_labels(name), get_kind(arm.annotator)
        row = RowStages(name=name, description=arm.description, labels=labels, annotator=annotator)
        if arm.labels_only:
            return replace(row, skipped=LABELS_ONLY)
        if self._trains_preference_models:
            settings = arm.preference_model or self.study.training.preference_model
            training = self.labeling.preference_model(name, self.study.models.student, labels, settings)
            return self._with_predictions(replace(row, training=training), training)
        start_row, start = self._initial_model(name, labels)
        reference = self._reference_logprobs(start)
        dpo = arm.dpo or self.study.training.dpo
        training = dpo_stage(f"dpo.{name}", start, self.split, labels, reference, dpo, self.study.seed)
        policy = logprobs_stage(f"logprobs.{name}", training, self.split, ("test",))
        aligned = replace(row, training=training, policy_logprobs=policy, reference_logprobs=reference, start=start_row)
        return self._with_evaluation(aligned, training)

    def _reference_logprobs(self, start: ModelSource) -> Stage:
        """The log-probabilities of the model that DPO starts from. The weak model's table has them if it is the same model."""
        weak_model = self.labeling.weak_models[MAIN_WEAK_MODEL]
        if is_same_model(start, weak_model.sft):
            return weak_model.sft_logprobs
        start_name = f"{start.name.removeprefix('sft.')}-sft" if isinstance(start, Stage) else "student-base"
        return logprobs_stage(f"logprobs.{start_name}", start, self.split, ("unlabeled", "test"))

    def _initial_model(self, name: str, labels: Stage) -> tuple[str, ModelSource]:
        """The model that DPO starts from, and its row."""
        settings = self.study.training.sft
        if settings is None:
            return "base", self.shared_sft
        if not self._has_sft_per_arm:
            return SFT_ROW, self.shared_sft
        sft = sft_stage(f"sft.{name}", self.study.models.student, self.split, labels, settings, self.study.seed)
        arm, first = self._arm_sft.setdefault(sft.fingerprint, (name, sft))
        return build_sft_row_name(arm), first

    def _weak_model_row(self) -> RowStages:
        annotator = self.labeling.arms["weak"].annotator
        if self._trains_preference_models and list_engine_configs(annotator):
            if isinstance(annotator, Prompted):  # like every student, since the PGR compares them
                annotator = annotator.model_copy(update={"presentation_order": "both"})
            dependencies = AnnotatorDependencies(engine_models=self.labeling.resolve_annotator_models("weak"))
            predictions = annotate_stage("predict.weak_model", annotator, self.split, dependencies, split_name="test")
            description = "the weak model itself, prompted like the arm `weak`"
            return RowStages(name="weak_model", description=description, predictions=predictions)
        weak_model = self.labeling.weak_models[MAIN_WEAK_MODEL]
        row = RowStages(
            name="weak_model",
            description="the weak model itself, aligned on the labeled pairs",
            training=weak_model.dpo,
            policy_logprobs=weak_model.dpo_logprobs,
            reference_logprobs=weak_model.sft_logprobs,
        )
        return row if self._trains_preference_models else self._with_evaluation(row, weak_model.dpo)

    def _with_evaluation(self, row: RowStages, model: ModelSource) -> RowStages:
        """Adds the model's responses to the test prompts, and their scores."""
        study = self.study
        completions = generate_stage(
            f"generate.{row.name}",
            model,
            self.split,
            study.generation,
            study.num_test_prompts,
            shuffle=test_pairs_in_file_order(study),
        )
        scores = {
            name: score_stage(f"score.{row.name}.{name}", scorer, completions, self.reward_models.get(name))
            for name, scorer in study.scorers.items()
        }
        return replace(row, completions=completions, scores=scores)


def _build_split(study: Study) -> Stage:
    """Loads and splits the pairs. Predefined splits are not sampled, so that they do not depend on the seed."""
    models = list_tokenizer_models(study)
    if "weak" in models and models["weak"].base == models["student"].base:
        del models["weak"]
    predefined = isinstance(study.data, PredefinedSplits)
    settings = study.split if predefined else study.split.model_copy(update={"seed": study.split_seed})
    return split_stage(list_sources(study.data), settings, study.max_length, models)


def _build_study_prompts(study: Study, split: Stage) -> Stage:
    """One source can have more pairs than the study uses; of several sources, no pair is left for scorers."""
    if isinstance(study.data, Component):
        return split_prompts_stage(split)
    return source_prompts_stage(list_sources(study.data))
