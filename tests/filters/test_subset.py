"""Labels drawn at random: exact counts, the same pairs for every arm, and smaller draws inside larger ones."""

from __future__ import annotations

import random
from typing import Any

import pytest

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.errors import DataError, StudyError
from trimtab.filters.subset import Subset
from trimtab.types import Annotation


def label(key: str, p_a: float | None) -> Annotation:
    return Annotation(pair_id=key, p_a=p_a, status="abstained" if p_a is None else "ok")


LABELS = [label(f"{place:03}", random.Random(place).random()) for place in range(200)]
SILENT = [label("s", None), Annotation(pair_id="t", p_a=None, status="failed"), label("u", 0.5)]


def drawn(chosen: Subset, labels: list[Annotation] = LABELS, given: AnnotatorInputs | None = None) -> set[str]:
    answers = chosen.keep(labels, given or AnnotatorInputs())
    return {each.pair_id for each, yes in zip(labels, answers, strict=True) if yes}


@pytest.mark.parametrize(
    ("settings", "count"),
    [({"num_labels": 7}, 7), ({"num_labels": 200}, 200), ({"fraction": 0.55}, 110), ({"fraction": 0.001}, 1)],
)
def test_as_many_are_drawn_as_are_asked_for(settings: dict[str, Any], count: int) -> None:
    assert len(drawn(Subset(**settings))) == count


def test_as_many_are_drawn_as_another_arm_has() -> None:
    other = {each.pair_id: each for each in [*LABELS[:31], *SILENT]}
    assert len(drawn(Subset(arm="match"), given=AnnotatorInputs(labels={"match": other}))) == 31


def test_labels_that_prefer_nothing_are_neither_drawn_nor_counted() -> None:
    assert drawn(Subset(fraction=1), [*SILENT, *LABELS[:3]]) == {"000", "001", "002"}


def test_the_draw_depends_on_the_pairs_alone_and_not_on_what_is_said_of_them_or_where_they_stand() -> None:
    turned = [label(each.pair_id, 1 - (each.p_a or 0)) for each in reversed(LABELS)]
    assert drawn(Subset(num_labels=50), turned) == drawn(Subset(num_labels=50))


def test_a_smaller_draw_lies_inside_a_larger_one_and_another_seed_draws_others() -> None:
    assert drawn(Subset(num_labels=20)) < drawn(Subset(num_labels=50))
    assert drawn(Subset(num_labels=50, seed=1)) != drawn(Subset(num_labels=50))


def test_every_pair_is_drawn_about_equally_often() -> None:
    # 400 draws of half: each count has mean 200 and standard deviation 10, so none strays by 50
    counts = dict.fromkeys((each.pair_id for each in LABELS), 0)
    for seed in range(400):
        for key in drawn(Subset(fraction=0.5, seed=seed)):
            counts[key] += 1
    assert max(abs(count - 200) for count in counts.values()) < 50


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (Subset(num_labels=201), r"201 labels are requested, but only 200"),
        (Subset(arm="big"), "the arm 'big' has"),
    ],
)
def test_more_than_there_are_cannot_be_drawn(chosen: Subset, said: str) -> None:
    given = AnnotatorInputs(labels={"big": {f"x{place}": label(f"x{place}", 1.0) for place in range(300)}})
    with pytest.raises(DataError, match=said):
        chosen.keep(LABELS, given)


@pytest.mark.parametrize("settings", [{"fraction": 0.5}, {"num_labels": 1}])
def test_where_there_is_nothing_to_draw_from_that_is_said(settings: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="none of 3 labels prefers a response"):
        Subset(**settings).keep(SILENT, AnnotatorInputs())


@pytest.mark.parametrize("settings", [{}, {"fraction": 0.5, "num_labels": 3}, {"num_labels": 3, "arm": "x"}])
def test_the_size_is_given_in_one_way(settings: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match="set exactly one of fraction, num_labels and arm"):
        build_component("filters", {"kind": "subset", **settings})


@pytest.mark.parametrize("settings", [{"fraction": 0}, {"fraction": 1.1}, {"num_labels": 0}])
def test_a_size_is_above_nothing(settings: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match=next(iter(settings))):
        build_component("filters", {"kind": "subset", **settings})
