"""The summary of labels in a few lines: how many, how they compare with human labels, and what to do next."""

from __future__ import annotations

import re
import shlex
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trimtab.data.row_counts import count_failures_by_file, format_unusable_rows
from trimtab.stats import proportion
from trimtab.storage.id_index import IdIndex
from trimtab.types import Annotation, Choice, Dataset, Metric, Pair

# A label at least this probable is called confident.
CONFIDENT = 0.9
_NEXT = "next: "
_SIGNS: Mapping[Choice | None, int] = {"a": 1, "b": -1, None: 0}


def summarize_labels(
    kind: str,
    file: Path,
    dataset: Dataset,
    labels: Sequence[Annotation],
    label_format: str = "rows",
    training_file: str = "",
) -> list[str]:
    """One line each for the labels, the rows that are not pairs, and the agreement or the confidence.

    Labels are in the order of the pairs. Without human labels, a line on what to do next follows, which depends on the format
    that the labels are written in, and on the file of labeled pairs that the annotator learned from.
    """
    counts = _LabelCounts.of_labels(dataset.pairs, labels)
    status = counts.status
    lines = [f"{len(labels)} pairs: {status['ok']} labeled, {status['abstained']} abstained, {status['failed']} failed"]
    lines += format_unusable_rows(file.name, dataset.failures, count_failures_by_file([dataset]).items())
    lines += dataset.notices
    if not counts.is_labeled.any():
        return [*lines, _describe_missing_labels(labels)]
    is_rated = counts.is_labeled & (counts.human != 0)
    if not is_rated.any():
        lines.append(f"read as: {dataset.layout}")
        return lines + _describe_unchecked_labels(kind, dataset, counts, label_format, training_file)
    return [
        *lines,
        f"agreement with human labels: {_format_agreement(_compare(counts.choices, counts.human, is_rated))}",
        "length baseline (longer response), same pairs: "
        f"{_format_agreement(_compare(np.sign(counts.length_differences), counts.human, is_rated))}",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LabelCounts:
    """The labels as columns. A choice is 1 for `a`, -1 for `b` and 0 for none; `confidences` are those of labels with one.

    `length_differences` are the characters of response a minus those of b.
    """

    status: Mapping[str, int]
    choices: NDArray[np.int8]
    human: NDArray[np.int8]
    length_differences: NDArray[np.int64]
    confidences: NDArray[np.float64]

    @classmethod
    def of_labels(cls, pairs: Sequence[Pair], labels: Sequence[Annotation]) -> _LabelCounts:
        status = Counter[str]()
        choices, human, differences, confidences = array("b"), array("b"), array("l"), array("d")
        for pair, label in zip(pairs, labels, strict=True):
            status[label.status] += 1
            choices.append(_SIGNS[label.choice])
            human.append(_SIGNS[pair.human])
            differences.append(pair.length_difference("a"))
            if label.p_a is not None:
                confidences.append(max(label.p_a, 1 - label.p_a))
        return cls(
            status=status,
            choices=np.asarray(choices),
            human=np.asarray(human),
            length_differences=np.asarray(differences),
            confidences=np.asarray(confidences),
        )

    @property
    def is_labeled(self) -> NDArray[np.bool_]:
        return np.not_equal(self.choices, 0)


def _compare(choices: NDArray[np.signedinteger], human: NDArray[np.int8], is_rated: NDArray[np.bool_]) -> Metric:
    """The agreement of choices with human labels on the rated pairs, among those with a choice."""
    is_compared = is_rated & (choices != 0)
    same = int((choices == human)[is_compared].sum())
    n = int(is_compared.sum())
    return proportion(same, n, n_failed=int(is_rated.sum()) - n)


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
    kind: str, dataset: Dataset, counts: _LabelCounts, label_format: str, training_file: str
) -> list[str]:
    """Which responses are preferred, and with what confidence. None of these labels has a human label to compare with."""
    is_labeled = counts.is_labeled
    preferred = counts.choices * np.sign(counts.length_differences)
    training = (
        "" if label_format == "trl" else "; to train on the labels, add `--format trl --out FILE.jsonl` to this command"
    )
    return [
        f"preferred: the first response in {int((_find_first(dataset) * counts.choices > 0).sum()):,} of "
        f"{int(is_labeled.sum()):,} pairs, the longer one in {int((preferred > 0).sum()):,} of "
        f"{int((preferred != 0).sum()):,}",
        f"confidence: median {np.median(counts.confidences):.2f}; {int((counts.confidences >= CONFIDENT).sum()):,} labels have "
        f"a probability of {CONFIDENT} or more",
        f"{_NEXT}to estimate how many labels are right, {'' if training_file else 'label some pairs by hand and '}run `trimtab "
        f"audit {shlex.quote(training_file) if training_file else 'LABELED'} --annotator {kind}`{training}",
    ]


def _find_first(dataset: Dataset) -> NDArray[np.int8]:
    """The response of each pair that comes first in its row: 1 for `a`, -1 for `b`, 0 if the pair has no row."""
    first = np.zeros(len(dataset.pairs), dtype=np.int8)
    positions = IdIndex(pair.id for pair in dataset.pairs).get_all(origin.pair_id for origin in dataset.origins)
    first[positions] = [_SIGNS[origin.first] for origin in dataset.origins]
    return first


def _format_agreement(metric: Metric) -> str:
    """`0.71 [0.65, 0.77] of 512 pairs (3 abstained)`."""
    if metric.value is None:
        return f"abstained on all {metric.n_failed} pairs"
    abstained = f" ({metric.n_failed} abstained)" if metric.n_failed else ""
    return f"{metric.value:.2f} [{metric.low:.2f}, {metric.high:.2f}] of {metric.n} pairs{abstained}"
