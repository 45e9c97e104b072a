"""The human label, where there is one: the ceiling of every study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from trimtab.components import Component
from trimtab.protocols import Given
from trimtab.types import Annotation, Pair


class Human(Component):
    """What people said, with probability 1; a pair that nobody labeled is abstained from."""

    SYMMETRIC: ClassVar[bool] = True

    def models(self) -> Sequence[str]:
        return ()

    def arms(self) -> Sequence[str]:
        return ()

    def annotate(self, pairs: Sequence[Pair], given: Given) -> list[Annotation]:
        return [_annotate(pair) for pair in pairs]


def _annotate(pair: Pair) -> Annotation:
    if pair.human is None:
        return Annotation(pair_id=pair.id, p_a=None, status="abstained", note="no human label")
    return Annotation(pair_id=pair.id, p_a=1.0 if pair.human == "a" else 0.0)
