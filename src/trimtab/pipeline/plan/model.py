"""The plan of a study: the rows of its results, and every stage in topological order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.train_preference_model import PREFERENCE_MODEL_KIND

# The fields of a row that hold one stage each.
ROW_STAGES = ("labels", "training", "policy_logprobs", "reference_logprobs", "completions", "predictions")


@dataclass(frozen=True, kw_only=True)
class RowStages:
    """The stages of one row of the results; None if a row has no such stage.

    `policy_logprobs` and `reference_logprobs` are tables over the test pairs; their difference is the implicit reward.
    `predictions` are a prompted model's labels of the test pairs. `scores` are keyed by scorer, `verdicts` by judge. `start` is
    the row of the model that DPO started from, empty if there is none. `skipped` is the reason why a row was left out, or
    empty.
    """

    name: str
    description: str
    labels: Stage | None = None
    annotator: str = ""
    training: Stage | None = None
    policy_logprobs: Stage | None = None
    reference_logprobs: Stage | None = None
    completions: Stage | None = None
    predictions: Stage | None = None
    scores: Mapping[str, Stage] = field(default_factory=dict)
    verdicts: Mapping[str, Stage] = field(default_factory=dict)
    start: str = ""
    skipped: str = ""

    @property
    def stages(self) -> list[Stage]:
        named = [getattr(self, name) for name in ROW_STAGES]
        return [stage for stage in (*named, *self.scores.values(), *self.verdicts.values()) if stage is not None]


@dataclass(frozen=True, kw_only=True)
class RoundStages:
    """One round of an arm: `pairs` is the split whose unlabeled pairs have the `labels` that the student was aligned on.

    `anchor_labels` are the annotator's labels of the test pairs. `human_labels` are those of the round's pairs that were
    labeled by hand.
    """

    arm: str
    number: int
    pairs: Stage
    labels: Stage
    anchor_labels: Stage
    human_labels: Stage | None = None

    @property
    def measurements(self) -> list[Stage]:
        return [self.anchor_labels, *([] if self.human_labels is None else [self.human_labels])]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages of a study.

    `supervised_arms` are the arms for which something besides the weak model is trained on the labeled pairs: an annotator, a
    calibration or a filter. `test_rewards` and `unlabeled_rewards` are the scores of both responses of pairs, by scorer.
    Judges compare rows with the row `baseline`; `human_verdicts` are their verdicts on test pairs with human labels, and
    `unlabeled_verdicts` those on unlabeled pairs, by judge.
    `embeddings` are those of each row's responses, `learned_similarities` their similarities to the preferred responses, and
    `kl_to_reference` its divergence from its reference, by row.
    `ood_eval` are the stages for the accuracy on pairs of other domains, by row, domain and part.
    `rounds` are those of arms with several rounds, by the row of the round's student.
    """

    split: Stage
    rows: tuple[RowStages, ...]
    supervised_arms: tuple[str, ...] = ()
    test_rewards: Mapping[str, Stage] = field(default_factory=dict)
    unlabeled_rewards: Mapping[str, Stage] = field(default_factory=dict)
    baseline: str = ""
    human_verdicts: Mapping[str, Stage] = field(default_factory=dict)
    unlabeled_verdicts: Mapping[str, Stage] = field(default_factory=dict)
    embeddings: Mapping[str, Stage] = field(default_factory=dict)
    learned_similarities: Mapping[str, Stage] = field(default_factory=dict)
    kl_to_reference: Mapping[str, Stage] = field(default_factory=dict)
    ood_eval: Mapping[str, Mapping[str, Mapping[str, Stage]]] = field(default_factory=dict)
    rounds: Mapping[str, RoundStages] = field(default_factory=dict)

    @property
    def stages(self) -> list[Stage]:
        """All stages in topological order: labels, so that an error in a label costs no training, then training, then the rest.

        A measurement that fails or is slow thus costs no training either.
        """
        return sort_stages([*self._training_targets, *self._targets]) or [self.split]

    @property
    def training_stages(self) -> list[Stage]:
        """The stages that labels and trained models need. The other stages are measurements."""
        return sort_stages(self._training_targets) or [self.split]

    @property
    def _training_targets(self) -> list[Stage]:
        labels = [row.labels for row in self.rows if row.labels is not None]
        training = [row.training for row in self.rows if row.training is not None]
        return [*labels, *training, *(stage for stage in sort_stages(self._targets) if stage.role == "training")]

    @property
    def arms_by_stage(self) -> dict[str, str]:
        """The row that a stage belongs to, by fingerprint. Stages that rows share, and those named after a row, have none."""
        owners: dict[str, set[str]] = {}
        for row in self.rows:
            for stage in sort_stages(row.stages):
                owners.setdefault(stage.fingerprint, set()).add(row.name)
        names = {stage.fingerprint: stage.name for stage in self.stages}
        return {
            fingerprint: next(iter(rows))
            for fingerprint, rows in owners.items()
            if len(rows) == 1 and f".{next(iter(rows))}." not in f"{names[fingerprint]}."
        }

    @property
    def preference_models(self) -> list[Stage]:
        """The stages that train preference models. One that arms share is listed under each of its names."""
        return list(_iter_preference_models(self._targets, set()))

    @property
    def _targets(self) -> list[Stage]:
        groups = (
            self.test_rewards,
            self.unlabeled_rewards,
            self.human_verdicts,
            self.unlabeled_verdicts,
            self.embeddings,
            self.learned_similarities,
            self.kl_to_reference,
        )
        return [
            *(stage for row in self.rows for stage in row.stages),
            *(stage for group in groups for stage in group.values()),
            *(stage for domains in self.ood_eval.values() for parts in domains.values() for stage in parts.values()),
            *(stage for each in self.rounds.values() for stage in each.measurements),
        ]


def _iter_preference_models(stages: Iterable[Stage], seen: set[tuple[str, str]]) -> Iterator[Stage]:
    """The stages that train preference models, among these and all their inputs, once per name."""
    for stage in stages:
        key = (stage.name, stage.fingerprint)
        if key not in seen:
            seen.add(key)
            if stage.kind == PREFERENCE_MODEL_KIND:
                yield stage
            yield from _iter_preference_models(stage.input_stages.values(), seen)


def sort_stages(targets: Iterable[Stage]) -> list[Stage]:
    """The stages and all their inputs in topological order. Equal recipes are one stage."""
    ordered: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        key = f"{stage.kind}-{stage.fingerprint}"
        if key not in ordered:
            for source in stage.input_stages.values():
                visit(source)
            ordered.setdefault(key, stage)

    for stage in targets:
        visit(stage)
    return list(ordered.values())
