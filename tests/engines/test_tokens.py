"""Candidates are cut into the places at which they part or go on."""

from __future__ import annotations

from trimtab.engines._shared.tokenization import ScoringStep, build_scoring_steps


def test_candidates_of_one_token_each_are_one_step() -> None:
    assert build_scoring_steps([[7], [8], [7]], most=9) == [ScoringStep((), (7, 8))]


def test_every_place_is_a_step_once_where_candidates_begin_alike() -> None:
    assert build_scoring_steps([[1, 2, 3], [1, 2, 4], [1, 5]], most=9) == [
        ScoringStep((), (1,)),
        ScoringStep((1,), (2, 5)),
        ScoringStep((1, 2), (3, 4)),
    ]


def test_a_candidate_that_goes_on_from_another_adds_a_step_behind_it() -> None:
    assert build_scoring_steps([[1], [1, 2]], most=9) == [ScoringStep((), (1,)), ScoringStep((1,), (2,))]


def test_more_tokens_than_a_step_may_have_are_cut_into_several() -> None:
    assert build_scoring_steps([[1], [2], [3]], most=2) == [ScoringStep((), (1, 2)), ScoringStep((), (3,))]
