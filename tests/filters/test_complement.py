"""The complement: pairs without a label of another arm after its filter."""

from __future__ import annotations

import pytest

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.errors import DataError
from trimtab.filters.complement import Complement
from trimtab.filters.subset import Subset
from trimtab.types import Annotation


def label(key: str, p_a: float | None) -> Annotation:
    return Annotation(pair_id=key, p_a=p_a, status="abstained" if p_a is None else "ok")


OURS = [label("a", 0.9), label("b", 0.2), label("c", 0.5), label("d", None), label("e", 0.7)]


def inputs(*labels: Annotation) -> AnnotatorInputs:
    return AnnotatorInputs(labels={"other": {each.pair_id: each for each in labels}})


def test_labels_are_kept_if_only_this_arm_has_a_preference() -> None:
    others = [label("a", None), label("b", 0.9), label("c", None), label("d", None), label("e", 0.5)]
    assert Complement(arm="other").keep(OURS, inputs(*others)) == [True, False, False, False, True]


def test_a_subset_and_its_complement_partition_the_labels() -> None:
    labels = [label(f"{index:02}", 0.9) for index in range(21)]
    drawn = Subset(fraction=0.5).keep(labels, AnnotatorInputs())
    others = [label(each.pair_id, 0.9 if yes else None) for each, yes in zip(labels, drawn, strict=True)]
    rest = Complement(arm="other").keep(labels, inputs(*others))
    assert (sum(drawn), sum(rest)) == (11, 10)
    assert all(here != there for here, there in zip(drawn, rest, strict=True))


def test_the_complement_of_all_pairs_is_an_error() -> None:
    with pytest.raises(DataError, match="the arm 'other' prefers a response on every pair that is labeled here"):
        Complement(arm="other").keep(OURS, inputs(*[label(each.pair_id, 0.9) for each in OURS]))
