"""Keeps the labels of pairs that are in a source: one of several sources of the unlabeled pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component, SourceField, get_kind
from trimtab.core.interfaces import Source
from trimtab.errors import NoLabelsError
from trimtab.types import Annotation


class FromSource(Component):
    """Keeps the labels of pairs that are in `source`, which is usually one of the sources that the unlabeled pairs come from.

    In SEAM's alignment scenario, the unlabeled pairs are D_held and D_eval together (`kind: concat`): methods label the first,
    the preference models trained on those labels label the second. Raises `NoLabelsError` if no label is kept.
    """

    source: SourceField = Field(description="the same settings as in `data`")

    @model_validator(mode="after")
    def _require_source(self) -> Self:
        if not isinstance(self.source, Source):
            raise ValueError(f"source: {get_kind(self.source)} is not a source of pairs")
        return self

    def requirements(self) -> Requirements:
        return Requirements()

    def content_hash(self) -> str:
        """The content hash of the source."""
        return self._as_source().content_hash()

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        del inputs
        in_source = {pair.id for pair in self._as_source().load().pairs}
        kept = [label.choice is not None and label.pair_id in in_source for label in annotations]
        if not any(kept):
            labeled = sum(label.choice is not None for label in annotations)
            raise NoLabelsError(
                f"no labels kept: none of the {labeled} labeled pairs is among the {len(in_source)} pairs of the source; use a "
                "source that the unlabeled pairs come from"
            )
        return kept

    def _as_source(self) -> Source:
        assert isinstance(self.source, Source)  # noqa: S101 - validated
        return self.source
