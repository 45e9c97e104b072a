"""Quantile ranges: exact ranks, adjacent without gaps, by either score."""

from __future__ import annotations

import random

import pytest

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.errors import DataError, StudyError
from trimtab.filters.margin import Margin
from trimtab.filters.uncertainty import Uncertainty
from trimtab.types import Annotation


def label(key: str, p_a: float, margin: float | None = None) -> Annotation:
    return Annotation(pair_id=key, p_a=p_a, margin=margin)


# by ascending confidence: e, a, c, d, b; by margin: c, b, a, e, d
SURE = [label("a", 0.6, 3), label("b", 0.05, -2), label("c", 0.7, 1), label("d", 0.8, 9), label("e", 0.45, -4)]
NONE = Annotation(pair_id="f", p_a=None, status="abstained")


def kept(component: Margin, annotations: list[Annotation]) -> str:
    answers = component.keep(annotations, AnnotatorInputs())
    return "".join(each.pair_id for each, yes in zip(annotations, answers, strict=True) if yes)


@pytest.mark.parametrize(
    ("low", "high", "ids"),
    [
        (0, 1, "abcde"),
        (0, 0.2, "e"),
        (0, 0.5, "ae"),
        (0.5, 1, "bcd"),
        (0.2, 0.6, "ac"),
        (0.8, 1, "b"),
        (0.2, 0.59, "a"),
    ],
)
def test_a_range_has_the_ranks_between_two_quantiles(low: float, high: float, ids: str) -> None:
    assert kept(Margin(from_quantile=low, to_quantile=high), [*SURE, NONE]) == ids


@pytest.mark.parametrize(("low", "high", "ids"), [(0, 0.4, "bc"), (0.6, 1, "de")])
def test_a_range_by_margin_uses_its_absolute_value(low: float, high: float, ids: str) -> None:
    assert kept(Margin(from_quantile=low, to_quantile=high, by="margin"), [*SURE, NONE]) == ids


@pytest.mark.parametrize("cut", [0.1, 0.3, 0.55, 0.7])
def test_adjacent_ranges_share_no_label_and_miss_none(cut: float) -> None:
    draw = random.Random(2)
    many = [label(f"{index:03}", draw.choice((0.2, 0.4, 0.9, 0.97))) for index in range(97)]
    below, above = (
        each.keep(many, AnnotatorInputs())
        for each in (Margin(from_quantile=0, to_quantile=cut), Margin(from_quantile=cut))
    )
    assert [one != other for one, other in zip(below, above, strict=True)] == [True] * 97


def test_the_upper_range_equals_uncertainty() -> None:
    draw = random.Random(2)
    many = [label(f"{index:03}", draw.choice((0.2, 0.4, 0.9, 0.97))) for index in range(97)]
    assert Margin(from_quantile=0.7).keep(many, AnnotatorInputs()) == Uncertainty(fraction=0.3).keep(
        many, AnnotatorInputs()
    )


def test_a_label_without_a_margin_is_rejected_with_an_alternative() -> None:
    with pytest.raises(DataError, match=r"pair g: margin is None, .* `by: confidence`"):
        Margin(by="margin").keep([*SURE, label("g", 0.9)], AnnotatorInputs())


def test_an_empty_range_is_an_error() -> None:
    with pytest.raises(
        DataError, match=r"no labels kept: no rank of 5 labels lies between the quantiles 0\.21 and 0\.39"
    ):
        Margin(from_quantile=0.21, to_quantile=0.39).keep(SURE, AnnotatorInputs())
    with pytest.raises(DataError, match="none of 1 labels prefers"):
        Margin().keep([NONE], AnnotatorInputs())


@pytest.mark.parametrize("settings", [{"from_quantile": 0.5, "to_quantile": 0.5}, {"from_quantile": 1}])
def test_the_quantiles_must_rise(settings: dict[str, float]) -> None:
    with pytest.raises(StudyError, match="from_quantile must be less than to_quantile"):
        build_component("filters", {"kind": "margin", **settings})
