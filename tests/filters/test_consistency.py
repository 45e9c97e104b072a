"""Labels that do not hang on which response stood first."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.annotators.prompted import Prompted
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import DataError
from trimtab.filters.consistency import Consistency
from trimtab.types import Annotation, Pair, build_user_prompt

FIRST = [Pair.from_responses(build_user_prompt(f"Question {place}?"), "yes", "no") for place in range(3)]


def label(key: str, p_a: float | None, **detail: Any) -> Annotation:
    return Annotation(pair_id=key, p_a=p_a, status="abstained" if p_a is None else "ok", detail=detail)


def test_a_label_stays_where_both_orders_agreed() -> None:
    some = [
        label("a", 0.8, order_inconsistent=False),
        label("b", 0.6, order_inconsistent=True),
        label("c", 0.2, order_inconsistent=False),
    ]
    assert Consistency().keep(some, AnnotatorInputs()) == [True, False, True]


def test_a_label_that_prefers_nothing_need_not_say_and_is_not_kept() -> None:
    some = [label("a", 0.8, order_inconsistent=False), label("b", None), label("c", 0.5, order_inconsistent=False)]
    assert Consistency().keep(some, AnnotatorInputs()) == [True, False, False]


@pytest.mark.parametrize(
    "detail", [{}, {"order_inconsistent": None}, {"order_inconsistent": 1}, {"p_a_by_order": {"a_first": 0.8}}]
)
def test_labels_that_do_not_say_are_refused_with_those_that_do(detail: dict[str, Any]) -> None:
    with pytest.raises(
        DataError,
        match=r"pair b: detail\.order_inconsistent is .*`prompted`, .*`presentation_order: both` or `most_confident`",
    ):
        Consistency().keep([label("a", 0.8, order_inconsistent=False), label("b", 0.8, **detail)], AnnotatorInputs())


def test_where_nothing_would_be_kept_that_is_said() -> None:
    for nothing in ([], [label("a", 0.8, order_inconsistent=True)], [label("a", None)]):
        with pytest.raises(DataError, match="no labels kept"):
            Consistency().keep(nothing, AnnotatorInputs())


def test_labels_of_a_model_that_takes_what_stands_first_are_told_from_steady_ones() -> None:
    leaning = ScriptedEngine(choice_weights=lambda question, candidates: [0.9, 0.1])
    flipped = Prompted(presentation_order="most_confident").annotate(FIRST, AnnotatorInputs(engines={"weak": leaning}))
    assert {each.detail["order_inconsistent"] for each in flipped} == {True}
    one_order = Prompted(presentation_order="random").annotate(FIRST, AnnotatorInputs(engines={"weak": leaning}))
    with pytest.raises(DataError, match=r"detail\.order_inconsistent is None"):
        Consistency().keep(one_order, AnnotatorInputs())
