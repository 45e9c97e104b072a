"""Agreement with another arm: two disjoint sets, and an error if one is empty."""

from __future__ import annotations

import pytest

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.errors import DataError, StudyError
from trimtab.filters.agreement import Agreement
from trimtab.filters.weak_strong_consistency import WeakStrongConsistency
from trimtab.pipeline.plan import NO_HUMAN_LABELS, build_plan
from trimtab.types import Annotation


def label(key: str, p_a: float | None) -> Annotation:
    return Annotation(pair_id=key, p_a=p_a, status="abstained" if p_a is None else "ok")


# agree on a and e, disagree on b and f; one of them abstains on c, d, g and h
OURS = [*map(label, "abcdefgh", (0.6, 0.1, 0.9, None, 0.2, 0.7, 0.5, None))]
THEIRS = {key: label(key, p) for key, p in zip("hgfedcba", (None, 0.9, 0.1, 0.4, 0.8, None, 0.9, 1.0), strict=True)}
GIVEN = AnnotatorInputs(labels={"human": THEIRS})


def kept(component: Agreement | WeakStrongConsistency) -> str:
    answers = component.keep(OURS, GIVEN)
    return "".join(each.pair_id for each, yes in zip(OURS, answers, strict=True) if yes)


def test_labels_are_matched_where_both_arms_prefer_the_same_response() -> None:
    assert kept(Agreement(arm="human")) == "ae"


def test_labels_are_mismatched_where_the_other_arm_prefers_the_other_response() -> None:
    assert kept(Agreement(arm="human", keep_where="mismatch")) == "bf"


def test_matches_equal_the_labels_of_weak_strong_consistency() -> None:
    assert kept(Agreement(arm="human")) == kept(WeakStrongConsistency(arm="human"))


@pytest.mark.parametrize(("keep", "p_a", "expected"), [("match", 0.1, "the same"), ("mismatch", 0.9, "the other")])
def test_an_empty_set_is_reported_with_the_arm_and_the_number_of_pairs(keep: str, p_a: float, expected: str) -> None:
    component = build_component("filters", {"kind": "agreement", "arm": "human", "keep": keep})
    assert isinstance(component, Agreement)
    inputs = AnnotatorInputs(labels={"human": {"a": label("a", 0.8)}})
    with pytest.raises(DataError, match=f"the arm 'human' prefers {expected} response on none of 1 pairs"):
        component.keep([label("a", p_a)], inputs)


@pytest.mark.parametrize(
    ("settings", "expected"), [({}, "arm: required setting is missing"), ({"arm": "x", "keep": "all"}, "keep")]
)
def test_it_needs_an_arm_and_one_of_two_sets(settings: dict[str, str], expected: str) -> None:
    with pytest.raises(StudyError, match=expected):
        build_component("filters", {"kind": "agreement", **settings})


def test_an_unknown_setting_is_reported_with_the_names_in_a_study() -> None:
    with pytest.raises(StudyError, match=r"width: unknown setting \(expected one of: arm, keep\)"):
        build_component("filters", {"kind": "agreement", "width": "human"})


def test_the_fingerprint_uses_the_setting_names_of_the_study(tiny_study: str) -> None:
    text = tiny_study + "arms: {match: {annotator: length, filter: {kind: agreement, arm: human}}}\n"
    (row,) = [arm for arm in build_plan(Study.parse(text)).rows if arm.name == "match"]
    assert row.labels is not None
    assert row.labels.settings == {"filter": {"kind": "agreement", "arm": "human"}}
    assert Study.parse(Study.parse(text).to_yaml()) == Study.parse(text)


def test_arms_that_need_missing_human_labels_are_skipped(tiny_study: str) -> None:
    text = (
        tiny_study + "arms:\n"
        "  match: {annotator: length, filter: {kind: agreement, arm: human}}\n"
        "  drawn: {annotator: length, filter: {kind: subset, arm: match}}\n"
        "  apart: {annotator: length, filter: {kind: agreement, arm: weak}}\n"
    )
    plan = build_plan(Study.parse(text), human_on_unlabeled=False)
    assert {arm.name for arm in plan.rows if arm.skipped == NO_HUMAN_LABELS} == {"human", "flipped", "match", "drawn"}
