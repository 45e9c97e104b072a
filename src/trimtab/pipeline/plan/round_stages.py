"""The rounds of a plan: each round's pairs, their labels, the student that is aligned on them, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trimtab.config.names import build_round_row_name
from trimtab.config.rounds import Rounds
from trimtab.config.study import Study
from trimtab.errors import StudyError
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import RoundStages, RowStages
from trimtab.pipeline.plan.round_labels import RoundLabelPlanner
from trimtab.pipeline.plan.weak_models import list_tokenizer_models
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_models import ModelSource
from trimtab.pipeline.stages.logprobs import logprobs_stage
from trimtab.pipeline.stages.match_human_labels import match_human_labels_stage
from trimtab.pipeline.stages.sample_pairs import RoundSampling, sample_pairs_stage
from trimtab.pipeline.stages.train_dpo import dpo_stage

# Adds the model's responses to the test prompts and their scores to a row.
EvaluateRow = Callable[[RowStages, ModelSource], RowStages]


@dataclass(frozen=True, kw_only=True)
class PlannedRounds:
    """The rows of the later rounds, and the stages of all rounds by row."""

    rows: tuple[RowStages, ...] = ()
    rounds: Mapping[str, RoundStages] = field(default_factory=dict)


def plan_rounds(
    study: Study, labeling: LabelingPlanner, rows: Sequence[RowStages], evaluate: EvaluateRow
) -> PlannedRounds:
    """The rounds of the arms that `study.rounds` names. `rows` has a row for each.

    Raises `StudyError` for an arm whose annotator needs human labels, which new responses do not have.
    """
    if study.rounds is None:
        return PlannedRounds()
    new_rows: list[RowStages] = []
    rounds: dict[str, RoundStages] = {}
    for name in study.rounds.arms:
        if labeling.needs_human_labels(name):
            raise StudyError(f"rounds.arms: the labels of {name} need human labels, which new responses do not have")
        row = next(row for row in rows if row.name == name)
        planner = _RoundPlanner(study=study, settings=study.rounds, labeling=labeling, first=row, evaluate=evaluate)
        rounds[name] = planner.first_round()
        for number in range(2, study.rounds.count + 1):
            row, rounds[build_round_row_name(name, number)] = planner.next_round(row, number)
            new_rows.append(row)
    return PlannedRounds(rows=tuple(new_rows), rounds=rounds)


@dataclass(frozen=True, kw_only=True)
class _RoundPlanner:
    """Plans the rounds of one arm. `first` is its row of the study without rounds."""

    study: Study
    settings: Rounds
    labeling: LabelingPlanner
    first: RowStages
    evaluate: EvaluateRow

    def first_round(self) -> RoundStages:
        if self.first.labels is None:
            raise StudyError(f"rounds.arms: {self.first.name} has no labels ({self.first.skipped})")
        return RoundStages(
            arm=self.first.name,
            number=1,
            pairs=self.labeling.split,
            labels=self.first.labels,
            anchor_labels=self._anchor_labels(),
        )

    def next_round(self, previous: RowStages, number: int) -> tuple[RowStages, RoundStages]:
        """The row of the round, and its other stages. Its student continues from that of the row `previous`."""
        arm, name, student = self.first.name, build_round_row_name(self.first.name, number), previous.training
        if student is None:
            raise StudyError(f"rounds.arms: {arm} has no student ({self.first.skipped})")
        pairs = sample_pairs_stage(f"sample-pairs.{name}", student, self.labeling.split, self._sampling(number))
        labels = RoundLabelPlanner(self.labeling, pairs, "unlabeled", name.removeprefix(arm)).final_labels(arm)
        training = self._align(name, student, pairs, labels)
        policy = logprobs_stage(f"logprobs.{name}", training, self.labeling.split, ("test",))
        row = replace(
            self.first,
            name=name,
            description=f"{arm} after round {number}",
            labels=None,
            training=training,
            policy_logprobs=policy,
        )
        return self.evaluate(row, training), RoundStages(
            arm=arm,
            number=number,
            pairs=pairs,
            labels=labels,
            anchor_labels=self._anchor_labels(),
            human_labels=self._human_labels(name, pairs),
        )

    def _sampling(self, number: int) -> RoundSampling:
        return RoundSampling(
            rounds=self.settings,
            number=number,
            seed=self.study.seed,
            max_new_tokens=self.settings.max_new_tokens or self.study.generation.max_new_tokens,
            max_length=self.study.max_length,
            tokenizer_models=list_tokenizer_models(self.study),
            stop=self.study.generation.stop,
            vllm=self.study.generation.vllm,
        )

    def _align(self, name: str, student: Stage, pairs: Stage, labels: Stage) -> Stage:
        """The student after the round. The reference of DPO is the student before it."""
        reference = logprobs_stage(f"logprobs.{name}-reference", student, pairs, ("unlabeled",))
        dpo = self.labeling.arms[self.first.name].dpo or self.study.training.dpo
        return dpo_stage(f"dpo.{name}", student, pairs, labels, reference, dpo, self.study.seed)

    def _anchor_labels(self) -> Stage:
        """The annotator's labels of the test pairs, which humans labeled."""
        return RoundLabelPlanner(self.labeling, self.labeling.split, "test", ".anchors").raw_labels(self.first.name)

    def _human_labels(self, name: str, pairs: Stage) -> Stage | None:
        source = self.settings.human_labels
        return None if source is None else match_human_labels_stage(f"human-labels.{name}", source, pairs)
