"""The summary of labels in a few lines: how many, how they compare with human labels, and what to do next."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from trimtab.annotators.length import Length
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.data.row_counts import count_failures_by_file, format_unusable_rows
from trimtab.stats import agreement_rate
from trimtab.types import Annotation, Choice, Dataset, Metric

# A label at least this probable is called confident.
CONFIDENT = 0.9
_NEXT = "next: "


def summarize_labels(
    kind: str,
    file: Path,
    dataset: Dataset,
    labels: Sequence[Annotation],
    human_labels: Mapping[str, Choice],
    label_format: str = "rows",
    training_file: str = "",
) -> list[str]:
    """One line each for the labels, the rows that are not pairs, and the agreement or the confidence.

    Without human labels, a line on what to do next follows, which depends on the format that the labels are written in, and on
    the file of labeled pairs that the annotator learned from.
    """
    status = Counter(label.status for label in labels)
    lines = [f"{len(labels)} pairs: {status['ok']} labeled, {status['abstained']} abstained, {status['failed']} failed"]
    lines += format_unusable_rows(file.name, dataset.failures, count_failures_by_file([dataset]).items())
    lines += dataset.notices
    choices: dict[str, Choice | None] = {label.pair_id: label.choice for label in labels if label.choice is not None}
    if not choices:
        return [*lines, _describe_missing_labels(labels)]
    human: dict[str, Choice | None] = {key: human_labels[key] for key in choices if key in human_labels}
    if not human:
        lines.append(f"read as: {dataset.layout}")
        return lines + _describe_unchecked_labels(kind, dataset, choices, labels, label_format, training_file)
    longer = {label.pair_id: label.choice for label in Length().annotate(dataset.pairs, AnnotatorInputs())}
    return [
        *lines,
        f"agreement with human labels: {_format_agreement(agreement_rate(choices, human))}",
        f"length baseline (longer response), same pairs: {_format_agreement(agreement_rate(longer, human))}",
    ]


def is_next_step(line: str) -> bool:
    """Whether a line says what to do next; it comes last."""
    return line.startswith(_NEXT)


def _describe_missing_labels(labels: Sequence[Annotation]) -> str:
    notes = [label.note or "the annotator prefers neither response" for label in labels]
    reasons = Counter(map(_remove_numbers, notes))
    reason, count = reasons.most_common(1)[0]
    note = next(note for note in notes if _remove_numbers(note) == reason)
    return f"no pair has a label, most often because: {note} ({count:,} of {len(labels):,} pairs)"


def _remove_numbers(note: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "", note)


def _describe_unchecked_labels(
    kind: str,
    dataset: Dataset,
    choices: Mapping[str, Choice | None],
    labels: Sequence[Annotation],
    label_format: str,
    training_file: str,
) -> list[str]:
    """Which responses are preferred, and with what confidence. None of these labels has a human label to compare with."""
    first = {origin.pair_id: origin.first for origin in dataset.origins}
    n_first = sum(choice == first[key] for key, choice in choices.items() if key in first)
    pairs = [pair for pair in dataset.pairs if pair.id in choices]
    differences = [pair.length_difference(choices[pair.id] or "a") for pair in pairs]
    longer, unequal = sum(each > 0 for each in differences), sum(each != 0 for each in differences)
    confidences = [max(label.p_a, 1 - label.p_a) for label in labels if label.p_a is not None]
    training = (
        "" if label_format == "trl" else "; to train on the labels, add `--format trl --out FILE.jsonl` to this command"
    )
    confident = sum(confidence >= CONFIDENT for confidence in confidences)
    return [
        f"preferred: the first response in {n_first:,} of {len(choices):,} pairs, the longer one in {longer:,} of {unequal:,}",
        f"confidence: median {median(confidences):.2f}; {confident:,} labels have a probability of {CONFIDENT} or more",
        f"{_NEXT}to estimate how many labels are right, {'' if training_file else 'label some pairs by hand and '}run `trimtab "
        f"audit {shlex.quote(training_file) if training_file else 'LABELED'} --annotator {kind}`{training}",
    ]


def _format_agreement(metric: Metric) -> str:
    """`0.71 [0.65, 0.77] of 512 pairs (3 abstained)`."""
    if metric.value is None:
        return f"abstained on all {metric.n_failed} pairs"
    abstained = f" ({metric.n_failed} abstained)" if metric.n_failed else ""
    return f"{metric.value:.2f} [{metric.low:.2f}, {metric.high:.2f}] of {metric.n} pairs{abstained}"
