"""The rounds of iterative alignment: how well the annotator knows each round's pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict

from trimtab import stats
from trimtab.metrics.label_quality import (
    compute_agreement,
    compute_correctness,
    compute_coverage,
    compute_mean_confidence,
    get_human_choices,
)
from trimtab.pipeline.run_index import RoundIndex
from trimtab.report.run_reader import Run
from trimtab.storage.schemas import load_split_pairs
from trimtab.types import Annotation, Choice, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundInfo:
    """One round of an arm. `row` is the row of its student in the results.

    `metrics` are the `coverage` and mean `confidence` of the labels, their `agreement` with human labels of the round's own
    pairs, the annotator's `anchor_agreement` with those of the test pairs, and the `agreement_change` from round 1. `skipped`
    counts the prompts without a pair by reason.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    row: str
    arm: str
    number: int
    n_prompts: int
    n_pairs: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    @property
    def has_human_labels(self) -> bool:
        return "agreement" in self.metrics


def collect_rounds(run: Run) -> tuple[RoundInfo, ...]:
    """The rounds whose pairs have labels."""
    correctness: dict[str, Mapping[str, float]] = {}
    rounds = []
    for row, index in run.index.rounds.items():
        if not run.is_finished(index.labels):
            continue
        labels, human = run.annotations(index.labels), _load_human_choices(run, index)
        correctness[row] = compute_correctness(labels, human)
        facts = run.artifact(index.pairs).record["facts"]
        pairs = load_split_pairs(run.artifact(index.pairs), "unlabeled")
        rounds.append(
            RoundInfo(
                row=row,
                arm=index.arm,
                number=index.number,
                n_prompts=facts["prompts"] if index.number > 1 else len({pair.prompt_id for pair in pairs}),
                n_pairs=len(pairs),
                skipped=_list_skipped(facts) if index.number > 1 else {},
                metrics=_measure_labels(run, index, labels, human, {pair.id: pair.prompt_id for pair in pairs})
                | _measure_change(index, correctness, row),
            )
        )
    return tuple(rounds)


def build_round_notes(rounds: tuple[RoundInfo, ...]) -> list[str]:
    """Sentences about rounds whose labels nobody checked, and about those whose agreement is lower than in round 1."""
    unchecked = [each.row for each in rounds if not each.has_human_labels and each.number > 1]
    notes = []
    if unchecked:
        notes.append(
            f"No pair of {', '.join(unchecked)} has a human label, so it is unknown how good the annotator's labels are there. "
            "Export the pairs, label some of them, and set rounds.human_labels."
        )
    for each in rounds:
        change = each.metrics.get("agreement_change")
        if change is not None and change.high is not None and change.high < 0:
            notes.append(
                f"The annotator of {each.arm} agrees less with human labels in round {each.number} than in round 1; labels of "
                "later rounds may not be worth training on."
            )
    return notes


def _load_human_choices(run: Run, index: RoundIndex) -> dict[str, Choice]:
    """Human labels of the round's pairs, by pair id."""
    if index.human_labels is not None and run.is_finished(index.human_labels):
        labels = run.annotations(index.human_labels)
        return {pair_id: label.choice for pair_id, label in labels.items() if label.choice is not None}
    return get_human_choices(load_split_pairs(run.artifact(index.pairs), "unlabeled"))


def _measure_labels(
    run: Run,
    index: RoundIndex,
    labels: Mapping[str, Annotation],
    human: Mapping[str, Choice],
    prompt_ids: Mapping[str, str],
) -> dict[str, Metric]:
    usable = {pair_id: label for pair_id, label in labels.items() if label.choice is not None}
    metrics = {"coverage": compute_coverage(labels), "confidence": compute_mean_confidence(usable, prompt_ids)}
    if human:
        metrics["agreement"] = compute_agreement(labels, human, prompt_ids)
    if run.is_finished(index.anchor_labels):
        anchors = run.annotations(index.anchor_labels)
        metrics["anchor_agreement"] = compute_agreement(anchors, get_human_choices(run.test), run.prompt_ids)
    return metrics


def _measure_change(index: RoundIndex, correctness: Mapping[str, Mapping[str, float]], row: str) -> dict[str, Metric]:
    """The agreement of the round minus that of round 1, on different pairs."""
    first = correctness.get(index.arm, {})
    if index.number == 1 or not correctness[row] or not first:
        return {}
    return {"agreement_change": stats.group_difference(correctness[row], first)}


def _list_skipped(facts: Mapping[str, Any]) -> dict[str, int]:
    reasons = {**facts["skipped"], "too long, or equal tokens": facts["too_long"]}
    return {reason: count for reason, count in reasons.items() if count}
