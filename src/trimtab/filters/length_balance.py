"""Keeps as many labels that prefer the longer response as labels that prefer the shorter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.filters._shared.ranking import compute_confidence, rank_by_score
from trimtab.types import Annotation


class LengthBalance(Component):
    """Keeps the same number of labels for the longer response as for the shorter, at every size of the difference (ours).

    Labels are put in order of how many characters the two responses differ by, and cut into `bins` of equal count. In each
    bin the more numerous side is thinned to the number of the other, its least sure labels first, equally sure ones by pair
    id. A label between responses of equal length stays. With one bin the counts balance and the characters need not. Raises
    `DataError` where nothing would stay.
    """

    bins: int = Field(4, ge=1)

    def required_arms(self) -> Sequence[str]:
        return ()

    def keep(self, annotations: Sequence[Annotation], given: AnnotatorInputs) -> list[bool]:
        leads = _compute_length_differences(annotations, given)
        surest = rank_by_score(annotations, compute_confidence)
        kept = {key for key in surest if leads[key] == 0}
        for ids in _split_into_bins(leads, self.bins):
            sides = [[key for key in surest if key in ids and leads[key] * sign > 0] for sign in (1, -1)]
            kept.update(key for side in sides for key in side[: min(map(len, sides))])
        if not kept:
            longer = sum(lead > 0 for lead in leads.values())
            raise DataError(
                f"nothing to keep: {longer} labels prefer the longer response and {len(leads) - longer} the shorter, and no "
                f"bin of {self.bins} holds both; take fewer bins or another annotator"
            )
        return [label.pair_id in kept for label in annotations]


def _compute_length_differences(annotations: Sequence[Annotation], given: AnnotatorInputs) -> dict[str, int]:
    return {
        label.pair_id: given.pairs[label.pair_id].length_difference(label.choice)
        for label in annotations
        if label.choice is not None
    }


def _split_into_bins(leads: dict[str, int], bins: int) -> list[set[str]]:
    """The labels between responses of different length, by the size of the difference, in bins that differ by one at most."""
    order = sorted((key for key in leads if leads[key]), key=lambda key: (abs(leads[key]), key))
    starts = [len(order) * place // bins for place in range(bins + 1)]
    return [set(order[start:end]) for start, end in pairwise(starts)]
