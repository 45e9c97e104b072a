"""Kept labels: exact counts, ties by id, and an error if none are kept."""

from __future__ import annotations

import random
from typing import Any

import pytest

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component, dump_component
from trimtab.core.component_loading import list_kinds
from trimtab.core.interfaces import Filter
from trimtab.errors import DataError, StudyError
from trimtab.filters.information import Information
from trimtab.filters.uncertainty import Uncertainty
from trimtab.filters.weak_strong_consistency import WeakStrongConsistency
from trimtab.types import Annotation

SETTINGS: dict[str, dict[str, Any]] = {
    "agreement": {"arm": "strong", "keep": "mismatch"},
    "chain": {"filters": [{"kind": "complement", "arm": "strong"}, {"kind": "information"}]},
    "certified": {"accuracy": 0.7, "folds": 3},
    "optimal_fraction": {"folds": 3},
    "consistency": {},
    "information": {"fraction": 0.3},
    "length_balance": {"bins": 2},
    "margin": {"from_quantile": 0.2, "by": "margin"},
    "complement": {"arm": "strong"},
    "from_source": {"source": {"kind": "starter", "limit": 9}},
    "subset": {"arm": "strong"},
    "uncertainty": {"fraction": 0.3},
    "weak_strong_consistency": {"arm": "strong"},
}


def label(key: str, p_a: float | None, **detail: Any) -> Annotation:
    return Annotation(pair_id=key, p_a=p_a, status="abstained" if p_a is None else "ok", detail=detail)


def failed(key: str) -> Annotation:
    return Annotation(pair_id=key, p_a=None, status="failed", note="timed out")


def kept(component: Filter, annotations: list[Annotation], inputs: AnnotatorInputs | None = None) -> str:
    """The ids of the kept labels, in order."""
    answers = component.keep(annotations, inputs or AnnotatorInputs())
    return "".join(each.pair_id for each, yes in zip(annotations, answers, strict=True) if yes)


SURE = [label("a", 0.6), label("b", 0.05), label("c", 0.7), label("d", 0.8), label("e", 0.45)]
TREES = [label("a", 0.6, score=0.1), label("b", 0.9, score=0.9), label("c", 0.6, score=0.5), label("d", 0.6, score=1)]


@pytest.mark.parametrize(
    ("fraction", "ids"),
    [(0.1, "b"), (0.2, "b"), (0.21, "bd"), (0.5, "bcd"), (0.6, "bcd"), (0.61, "abcd"), (1, "abcde")],
)
def test_the_most_confident_labels_are_kept_for_either_response(fraction: float, ids: str) -> None:
    assert kept(Uncertainty(fraction=fraction), SURE) == ids


def test_the_default_fraction_is_one_half() -> None:
    assert (kept(Uncertainty(), SURE), kept(Information(), TREES)) == ("bcd", "bd")


@pytest.mark.parametrize(
    ("n", "fraction", "count"), [(100, 0.55, 55), (10, 0.7, 7), (3, 0.1, 1), (7, 0.5, 4), (1, 0.01, 1)]
)
def test_the_count_is_the_exact_product_rounded_up(n: int, fraction: float, count: int) -> None:
    draw = random.Random(3)
    many = [label(f"{index:03}", draw.random()) for index in range(n)]
    assert sum(Uncertainty(fraction=fraction).keep(many, AnnotatorInputs())) == count


@pytest.mark.parametrize("seed", range(5))
def test_ties_go_by_the_pairs_id_and_not_by_its_index(seed: int) -> None:
    equal = [label("c", 0.7), label("a", 0.3), label("d", 0.7), label("b", 1 - 0.7)]
    shuffled = random.Random(seed).sample(equal, 4)
    assert sorted(kept(Uncertainty(), shuffled)) == ["a", "b"]


@pytest.mark.parametrize(
    "component", [Uncertainty(fraction=1), Information(fraction=1), WeakStrongConsistency(arm="s")]
)
def test_labels_without_preference_are_neither_kept_nor_counted(component: Filter) -> None:
    some = [label("a", None), failed("b"), label("c", 0.9, score=0.2), label("d", 0.5)]
    inputs = AnnotatorInputs(labels={"s": {each.pair_id: each for each in some}})
    assert kept(component, some, inputs) == "c"


@pytest.mark.parametrize("component", [Uncertainty(), Information(), WeakStrongConsistency(arm="s")])
@pytest.mark.parametrize("nothing", [[], [label("a", None), failed("b")]])
def test_keeping_nothing_is_an_error(component: Filter, nothing: list[Annotation]) -> None:
    with pytest.raises(DataError, match="no labels kept"):
        component.keep(nothing, AnnotatorInputs(labels={"s": {each.pair_id: each for each in nothing}}))


def test_labels_are_kept_if_the_other_arm_agrees() -> None:
    ours = [label("a", 0.6), label("b", 0.1), label("c", 0.9), label("d", 0.9), label("e", 0.2)]
    others = [label("e", 0.4), label("d", None), failed("c"), label("b", 0.9), label("a", 0.99)]
    inputs = AnnotatorInputs(labels={"strong": {each.pair_id: each for each in others}})
    assert kept(WeakStrongConsistency(arm="strong"), ours, inputs) == "ae"


def test_arms_that_never_agree_are_named() -> None:
    inputs = AnnotatorInputs(labels={"strong": {"a": label("a", 0.2)}})
    with pytest.raises(DataError, match="'strong' prefers the same response on none of 1 pairs"):
        WeakStrongConsistency(arm="strong").keep([label("a", 0.8)], inputs)


def test_it_requires_the_labels_of_its_arm() -> None:
    assert list(WeakStrongConsistency(arm="x").requirements().arms) == ["x"]
    assert [list(each.requirements().arms) for each in (Uncertainty(), Information())] == [[], []]


@pytest.mark.parametrize(("fraction", "ids"), [(0.25, "d"), (0.26, "bd"), (0.75, "bcd")])
def test_the_trees_with_most_information_are_kept_whatever_the_confidence(fraction: float, ids: str) -> None:
    assert kept(Information(fraction=fraction), TREES) == ids


@pytest.mark.parametrize(
    ("scores", "ids"),
    [
        ((0.1, 0.2, 0.3, 0.4), "cd"),  # the median is 0.25
        ((0.1, 0.2, 0.3), "bc"),
        ((0.1, 0.3, 0.3, 0.4), "bcd"),
        ((0.2, 0.2, 0.2, 0.2), "abcd"),
        ((0.2,), "a"),
    ],
)
def test_all_labels_that_tie_with_the_median_are_kept(scores: tuple[float, ...], ids: str) -> None:
    trees = [label(key, 0.8, score=score) for key, score in zip("abcd", scores, strict=False)]
    assert kept(Information(select_by="median"), [*trees, label("x", None, score=0.9), failed("y")]) == ids
    assert len(kept(Information(), trees)) == -(-len(trees) // 2)


def test_the_median_rejects_a_fraction() -> None:
    with pytest.raises(StudyError, match=r"fraction: has no effect with `select_by: median`, got 0\.3"):
        build_component("filters", {"kind": "information", "select_by": "median", "fraction": 0.3})


@pytest.mark.parametrize("detail", [{}, {"score": None}, {"score": "0.5"}, {"score": True}, {"score": float("nan")}])
def test_labels_without_a_tree_score_are_rejected_with_the_suitable_annotator(detail: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"label of pair b: detail\.score is .* annotator `seam`"):
        Information().keep([*TREES[:1], label("b", 0.9, **detail)], AnnotatorInputs())


@pytest.mark.parametrize("kind", list_kinds("filters"))
def test_a_filter_survives_yaml_and_rejects_unknown_settings(kind: str) -> None:
    settings = {"kind": kind, **SETTINGS[kind]}
    assert isinstance(build_component("filters", settings), Filter)
    assert dump_component(build_component("filters", settings)) == settings
    with pytest.raises(StudyError, match="no_such_setting"):
        build_component("filters", {**settings, "no_such_setting": 1})


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01])
@pytest.mark.parametrize("kind", ["uncertainty", "information"])
def test_a_fraction_is_above_zero_and_at_most_one(kind: str, fraction: float) -> None:
    with pytest.raises(StudyError, match="fraction"):
        build_component("filters", {"kind": kind, "fraction": fraction})
