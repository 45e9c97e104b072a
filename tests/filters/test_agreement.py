"""Match and mismatch with another arm: two sets that share nothing, and a word where one is empty."""

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


# the same on a and e, the other on b and f; one of the two prefers nothing on c, d, g and h
OURS = [*map(label, "abcdefgh", (0.6, 0.1, 0.9, None, 0.2, 0.7, 0.5, None))]
THEIRS = {key: label(key, p) for key, p in zip("hgfedcba", (None, 0.9, 0.1, 0.4, 0.8, None, 0.9, 1.0), strict=True)}
GIVEN = AnnotatorInputs(labels={"people": THEIRS})


def kept(chosen: Agreement | WeakStrongConsistency) -> str:
    answers = chosen.keep(OURS, GIVEN)
    return "".join(each.pair_id for each, yes in zip(OURS, answers, strict=True) if yes)


def test_labels_are_matched_where_both_arms_prefer_the_same_response() -> None:
    assert kept(Agreement(arm="people")) == "ae"


def test_labels_are_mismatched_where_the_other_arm_prefers_the_other_response() -> None:
    assert kept(Agreement(arm="people", keep_where="mismatch")) == "bf"


def test_what_matches_is_what_the_weak_strong_filter_keeps() -> None:
    assert kept(Agreement(arm="people")) == kept(WeakStrongConsistency(arm="people"))


@pytest.mark.parametrize(("keep", "p_a", "said"), [("match", 0.1, "the same"), ("mismatch", 0.9, "the other")])
def test_an_empty_set_is_said_with_the_arm_and_the_number_of_pairs(keep: str, p_a: float, said: str) -> None:
    chosen = build_component("filters", {"kind": "agreement", "arm": "people", "keep": keep})
    assert isinstance(chosen, Agreement)
    given = AnnotatorInputs(labels={"people": {"a": label("a", 0.8)}})
    with pytest.raises(DataError, match=f"the arm 'people' prefers {said} response on none of 1 pairs"):
        chosen.keep([label("a", p_a)], given)


@pytest.mark.parametrize(
    ("settings", "said"), [({}, "arm: required setting is missing"), ({"arm": "x", "keep": "all"}, "keep")]
)
def test_it_names_an_arm_and_one_of_two_sets(settings: dict[str, str], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        build_component("filters", {"kind": "agreement", **settings})


def test_a_wrong_setting_is_answered_with_the_names_that_are_written_in_a_study() -> None:
    with pytest.raises(StudyError, match=r"width: unknown setting \(expected one of: arm, keep\)"):
        build_component("filters", {"kind": "agreement", "width": "human"})


def test_the_setting_that_the_study_names_is_what_its_fingerprint_is_made_of(tiny_study: str) -> None:
    text = tiny_study + "arms: {match: {annotator: length, filter: {kind: agreement, arm: human}}}\n"
    (row,) = [arm for arm in build_plan(Study.parse(text)).rows if arm.name == "match"]
    assert row.labels is not None
    assert row.labels.settings == {"filter": {"kind": "agreement", "arm": "human"}}
    assert Study.parse(Study.parse(text).to_yaml()) == Study.parse(text)


def test_arms_that_are_made_from_human_labels_are_skipped_where_there_are_none(tiny_study: str) -> None:
    text = (
        tiny_study + "arms:\n"
        "  match: {annotator: length, filter: {kind: agreement, arm: human}}\n"
        "  drawn: {annotator: length, filter: {kind: subset, arm: match}}\n"
        "  apart: {annotator: length, filter: {kind: agreement, arm: weak}}\n"
    )
    plan = build_plan(Study.parse(text), human_on_unlabeled=False)
    assert {arm.name for arm in plan.rows if arm.skipped == NO_HUMAN_LABELS} == {"human", "flipped", "match", "drawn"}
