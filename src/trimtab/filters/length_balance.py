"""Keeps equally many labels that prefer the longer and the shorter response."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import NoLabelsError
from trimtab.filters._shared.ranking import compute_confidence, rank_by_score
from trimtab.types import Annotation


class LengthBalance(Component):
    """Keeps equally many labels for the longer and the shorter response in each bin of the length difference (our method).

    Labels are sorted by the length difference in characters and split into `bins` of equal count. In each bin, the majority
    side is reduced to the size of the other, least confident labels first, ties by pair id. Labels between responses of
    equal length are kept. With a single bin, the counts are balanced but the lengths may not be. Raises `NoLabelsError` if no
    label is kept.
    """

    bins: int = Field(4, ge=1)

    def requirements(self) -> Requirements:
        return Requirements()

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        differences = _compute_length_differences(annotations, inputs)
        ranked = rank_by_score(annotations, compute_confidence)
        kept = {pair_id for pair_id in ranked if differences[pair_id] == 0}
        for bin_ids in _split_into_bins(differences, self.bins):
            longer, shorter = (
                [pair_id for pair_id in ranked if pair_id in bin_ids and differences[pair_id] * sign > 0]
                for sign in (1, -1)
            )
            size = min(len(longer), len(shorter))
            kept.update(longer[:size], shorter[:size])
        if not kept:
            num_longer = sum(difference > 0 for difference in differences.values())
            raise NoLabelsError(
                f"no labels kept: {num_longer} labels prefer the longer response and {len(differences) - num_longer} the "
                f"shorter, and none of {self.bins} bins contains both; use fewer bins or another annotator"
            )
        return [label.pair_id in kept for label in annotations]


def _compute_length_differences(annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> dict[str, int]:
    return {
        label.pair_id: inputs.pairs[label.pair_id].length_difference(label.choice)
        for label in annotations
        if label.choice is not None
    }


def _split_into_bins(differences: dict[str, int], bins: int) -> list[set[str]]:
    """The labels between responses of different lengths, by the size of the difference; bin sizes differ by at most one."""
    nonzero = [pair_id for pair_id in differences if differences[pair_id]]
    ordered = sorted(nonzero, key=lambda pair_id: (abs(differences[pair_id]), pair_id))
    starts = [len(ordered) * index // bins for index in range(bins + 1)]
    return [set(ordered[start:end]) for start, end in pairwise(starts)]
