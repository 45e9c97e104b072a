"""Labels that do not depend on the presentation order."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.annotators.prompted import Prompted
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import DataError
from trimtab.filters.consistency import Consistency
from trimtab.types import Annotation, Pair, build_user_prompt

FIRST = [Pair.from_responses(build_user_prompt(f"Question {index}?"), "yes", "no") for index in range(3)]


def label(key: str, p_a: float | None, **detail: Any) -> Annotation:
    return Annotation(pair_id=key, p_a=p_a, status="abstained" if p_a is None else "ok", detail=detail)


def test_a_label_is_kept_if_both_orders_agreed() -> None:
    some = [
        label("a", 0.8, order_inconsistent=False),
        label("b", 0.6, order_inconsistent=True),
        label("c", 0.2, order_inconsistent=False),
    ]
    assert Consistency().keep(some, AnnotatorInputs()) == [True, False, True]


def test_a_label_without_preference_is_dropped_without_an_error() -> None:
    some = [label("a", 0.8, order_inconsistent=False), label("b", None), label("c", 0.5, order_inconsistent=False)]
    assert Consistency().keep(some, AnnotatorInputs()) == [True, False, False]


@pytest.mark.parametrize(
    "detail", [{}, {"order_inconsistent": None}, {"order_inconsistent": 1}, {"p_a_by_order": {"a_first": 0.8}}]
)
def test_labels_without_order_information_are_rejected_with_suitable_annotators(detail: dict[str, Any]) -> None:
    with pytest.raises(
        DataError,
        match=r"pair b: detail\.order_inconsistent is .*`prompted`, .*`presentation_order: both` or `most_confident`",
    ):
        Consistency().keep([label("a", 0.8, order_inconsistent=False), label("b", 0.8, **detail)], AnnotatorInputs())


def test_keeping_nothing_is_an_error() -> None:
    for nothing in ([], [label("a", 0.8, order_inconsistent=True)], [label("a", None)]):
        with pytest.raises(DataError, match="no labels kept"):
            Consistency().keep(nothing, AnnotatorInputs())


def test_labels_of_a_model_with_position_bias_are_detected() -> None:
    biased = ScriptedEngine(choice_weights=lambda request, candidates: [0.9, 0.1])
    flipped = Prompted(presentation_order="most_confident").annotate(FIRST, AnnotatorInputs(engines={"weak": biased}))
    assert {each.detail["order_inconsistent"] for each in flipped} == {True}
    one_order = Prompted(presentation_order="random").annotate(FIRST, AnnotatorInputs(engines={"weak": biased}))
    with pytest.raises(DataError, match=r"detail\.order_inconsistent is None"):
        Consistency().keep(one_order, AnnotatorInputs())
