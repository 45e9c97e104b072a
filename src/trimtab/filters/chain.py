"""Applies several filters, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component, ComponentField
from trimtab.core.interfaces import Filter
from trimtab.filters._shared.content import hash_filter_content
from trimtab.filters.certified import Certified
from trimtab.types import Annotation


class Chain(Component):
    """Keeps the labels that all `filters` keep, applied in order: each one sees those that the filters before it dropped as
    abstentions, so that a fraction is one of the labels that are left.

    In SEAM's alignment scenario: one half of the pairs, and of their labels those with the most information. Filters that
    learn from the labeled pairs must have the same number of folds. `certified` cannot be in a chain: it certifies all labels
    above a threshold, and not those of them that another filter keeps.
    """

    filters: tuple[Annotated[Component, ComponentField("filters")], ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _validate_filters(self) -> Self:
        for index, component in enumerate(self.filters):
            if not isinstance(component, Filter):
                raise ValueError(f"filters.{index}: {type(component).__name__} is not a filter")
        if any(isinstance(component, Certified) for component in self.filters):
            raise ValueError(
                "filters: certified cannot be in a chain: the accuracy that it certifies is that of all labels above a "
                "threshold, not of those that another filter keeps; use it alone"
            )
        folds = {needs.cross_fit_folds for needs in self._list_requirements() if needs.cross_fit_folds}
        if len(folds) > 1:
            raise ValueError(f"filters: expected the same number of folds for all, got {sorted(folds)}")
        return self

    def requirements(self) -> Requirements:
        needs = self._list_requirements()
        return Requirements(
            arms=tuple(dict.fromkeys(arm for each in needs for arm in each.arms)),
            cross_fit_folds=max(each.cross_fit_folds for each in needs),
            uncalibrated=any(each.uncalibrated for each in needs),
            label_fields=frozenset[str]().union(*(each.label_fields for each in needs)),  # type: ignore[arg-type]
        )

    def content_hash(self) -> str:
        """The content hashes of the filters that have one, joined; empty if none has."""
        return " ".join(filter(None, map(hash_filter_content, self.filters)))

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        remaining = list(annotations)
        for component in self._as_filters():
            flags = component.keep(remaining, inputs)
            remaining = [
                label if keep or label.choice is None else replace(label, p_a=None, margin=None, status="abstained")
                for label, keep in zip(remaining, flags, strict=True)
            ]
        return [label.choice is not None for label in remaining]

    def _list_requirements(self) -> list[Requirements]:
        return [component.requirements() for component in self._as_filters()]

    def _as_filters(self) -> list[Filter]:
        return [component for component in self.filters if isinstance(component, Filter)]
