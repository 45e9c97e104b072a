"""The human label, where there is one: the ceiling of every study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from trimtab.components import Component
from trimtab.protocols import Given
from trimtab.types import Annotation, Pair, human_label


class Human(Component):
    """What people said, with probability 1; a pair that nobody labeled is abstained from."""

    SYMMETRIC: ClassVar[bool] = True

    def models(self) -> Sequence[str]:
        return ()

    def arms(self) -> Sequence[str]:
        return ()

    def annotate(self, pairs: Sequence[Pair], given: Given) -> list[Annotation]:
        return [human_label(pair) for pair in pairs]
