"""Filters that are applied one after the other."""

from __future__ import annotations

import pytest

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component, dump_component
from trimtab.errors import DataError, StudyError
from trimtab.filters.chain import Chain
from trimtab.pipeline.stage import identity_settings
from trimtab.types import Annotation

CONFIDENCE = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.55}


def label(key: str, p_a: float | None) -> Annotation:
    return Annotation(pair_id=key, p_a=p_a, status="abstained" if p_a is None else "ok")


LABELS = [*(label(key, p_a) for key, p_a in CONFIDENCE.items()), label("f", None)]
# The other arm has labels of a and f, so its complement is b, c, d, e.
INPUTS = AnnotatorInputs(labels={"other": {key: label(key, 0.9 if key in "af" else None) for key in "abcdef"}})
COMPLEMENT = {"kind": "complement", "arm": "other"}


def test_each_filter_sees_what_the_ones_before_it_kept() -> None:
    half = {"kind": "uncertainty", "fraction": 0.5}
    assert Chain.model_validate({"filters": [COMPLEMENT, half]}).keep(LABELS, INPUTS) == [
        *(False, True, True, False, False, False)  # of b, c, d, e the two most confident
    ]
    assert Chain.model_validate({"filters": [half, COMPLEMENT]}).keep(LABELS, INPUTS) == [
        *(False, True, True, False, False, False)  # of a, b, c (half of five, rounded up) those without a
    ]


def test_a_chain_requires_what_its_filters_require() -> None:
    needs = Chain.model_validate(
        {
            "filters": [
                COMPLEMENT,
                "information",
                {"kind": "subset", "arm": "weak"},
                {"kind": "optimal_fraction", "folds": 3},
            ]
        }
    ).requirements()
    assert (needs.arms, needs.cross_fit_folds) == (("other", "weak"), 3)
    assert {"tree_score", "confidence"} >= needs.label_fields >= {"tree_score"}


def test_a_filter_that_finds_no_label_left_raises_its_error() -> None:
    first, second = {"kind": "subset", "num_labels": 1}, {"kind": "subset", "num_labels": 2}
    with pytest.raises(DataError, match="2 labels are requested, but only 1 prefer"):
        Chain.model_validate({"filters": [first, second]}).keep(LABELS, INPUTS)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["uncertainty"], "at least 2"),
        (["uncertainty", "nothing"], "nothing"),
        ([{"kind": "optimal_fraction", "folds": 2}, {"kind": "optimal_fraction", "folds": 3}], "same number of folds"),
        (["uncertainty", "certified"], "certified cannot be in a chain"),
    ],
)
def test_a_chain_whose_filters_cannot_be_combined_is_rejected(filters: list[object], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        build_component("filters", {"kind": "chain", "filters": filters})


def test_a_chain_is_written_as_it_is_read_and_identified_by_its_filters() -> None:
    settings = {"kind": "chain", "filters": [COMPLEMENT, {"kind": "information", "select_by": "median"}]}
    chain = build_component("filters", settings)
    assert dump_component(chain) == settings
    assert identity_settings(chain)["filters"] == [identity_settings(each) for each in chain.filters]  # type: ignore[attr-defined]
