"""The mean of what several arms say, such as the weak and the strong model."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import ClassVar

from pydantic import Field

from trimtab.components import Component
from trimtab.protocols import Given
from trimtab.types import Annotation, Cost, Pair


class Ensemble(Component):
    """Averages the probabilities that other arms give response `a` (SEAM's WS-Ensemble, over a weak and a strong arm).

    `of` names the arms. One that abstains counts as one half; where one failed there is no label, and where the mean is
    exactly one half the label abstains. `cost` is what the arms' labels took together, `detail` has each one's probability.
    """

    SYMMETRIC: ClassVar[bool] = True

    of: tuple[str, ...] = Field(min_length=2)

    def models(self) -> Sequence[str]:
        return ()

    def arms(self) -> Sequence[str]:
        return self.of

    def annotate(self, pairs: Sequence[Pair], given: Given) -> list[Annotation]:
        return [self._annotate(pair, [given.labels[arm][pair.id] for arm in self.of]) for pair in pairs]

    def _annotate(self, pair: Pair, labels: Sequence[Annotation]) -> Annotation:
        cost = sum((label.cost for label in labels), Cost())
        named = dict(zip(self.of, labels, strict=True))
        detail = {"arms": {arm: label.p_a for arm, label in named.items()}}
        failed = [f"{arm}: {label.note}" for arm, label in named.items() if label.status == "failed"]
        if failed:
            return Annotation(
                pair_id=pair.id, p_a=None, status="failed", note="; ".join(failed), cost=cost, detail=detail
            )
        p_a = fmean(0.5 if label.p_a is None else label.p_a for label in labels)
        if p_a == 0.5:
            return Annotation(pair_id=pair.id, p_a=None, status="abstained", note="tie", cost=cost, detail=detail)
        return Annotation(pair_id=pair.id, p_a=p_a, cost=cost, detail=detail)
