"""Random subsets: exact counts, the same pairs for every arm, nested by size."""

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


LABELS = [label(f"{index:03}", random.Random(index).random()) for index in range(200)]
SILENT = [label("s", None), Annotation(pair_id="t", p_a=None, status="failed"), label("u", 0.5)]


def sampled(component: Subset, labels: list[Annotation] = LABELS, inputs: AnnotatorInputs | None = None) -> set[str]:
    answers = component.keep(labels, inputs or AnnotatorInputs())
    return {each.pair_id for each, yes in zip(labels, answers, strict=True) if yes}


@pytest.mark.parametrize(
    ("settings", "count"),
    [({"num_labels": 7}, 7), ({"num_labels": 200}, 200), ({"fraction": 0.55}, 110), ({"fraction": 0.001}, 1)],
)
def test_a_subset_has_the_requested_size(settings: dict[str, Any], count: int) -> None:
    assert len(sampled(Subset(**settings))) == count


def test_a_subset_can_match_the_size_of_another_arm() -> None:
    other = {each.pair_id: each for each in [*LABELS[:31], *SILENT]}
    assert len(sampled(Subset(arm="match"), inputs=AnnotatorInputs(labels={"match": other}))) == 31


def test_labels_without_preference_are_neither_sampled_nor_counted() -> None:
    assert sampled(Subset(fraction=1), [*SILENT, *LABELS[:3]]) == {"000", "001", "002"}


def test_a_subset_depends_on_the_pair_ids_only() -> None:
    turned = [label(each.pair_id, 1 - (each.p_a or 0)) for each in reversed(LABELS)]
    assert sampled(Subset(num_labels=50), turned) == sampled(Subset(num_labels=50))


def test_subsets_of_one_seed_are_nested_and_seeds_differ() -> None:
    assert sampled(Subset(num_labels=20)) < sampled(Subset(num_labels=50))
    assert sampled(Subset(num_labels=50, seed=1)) != sampled(Subset(num_labels=50))


def test_every_pair_is_sampled_about_equally_often() -> None:
    # 400 draws of half: each count has mean 200 and standard deviation 10, so none strays by 50
    counts = dict.fromkeys((each.pair_id for each in LABELS), 0)
    for seed in range(400):
        for key in sampled(Subset(fraction=0.5, seed=seed)):
            counts[key] += 1
    assert max(abs(count - 200) for count in counts.values()) < 50


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        (Subset(num_labels=201), r"201 labels are requested, but only 200"),
        (Subset(arm="big"), "the arm 'big' has"),
    ],
)
def test_a_subset_larger_than_the_input_is_an_error(component: Subset, expected: str) -> None:
    inputs = AnnotatorInputs(labels={"big": {f"x{index}": label(f"x{index}", 1.0) for index in range(300)}})
    with pytest.raises(DataError, match=expected):
        component.keep(LABELS, inputs)


@pytest.mark.parametrize("settings", [{"fraction": 0.5}, {"num_labels": 1}])
def test_a_subset_of_nothing_is_an_error(settings: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="none of 3 labels prefers a response"):
        Subset(**settings).keep(SILENT, AnnotatorInputs())


@pytest.mark.parametrize("settings", [{}, {"fraction": 0.5, "num_labels": 3}, {"num_labels": 3, "arm": "x"}])
def test_exactly_one_size_must_be_set(settings: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match="set exactly one of fraction, num_labels and arm"):
        build_component("filters", {"kind": "subset", **settings})


@pytest.mark.parametrize("settings", [{"fraction": 0}, {"fraction": 1.1}, {"num_labels": 0}])
def test_a_size_is_positive(settings: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match=next(iter(settings))):
        build_component("filters", {"kind": "subset", **settings})
