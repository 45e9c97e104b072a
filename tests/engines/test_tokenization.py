"""Candidates are split into scoring steps, one per distinct position."""

from __future__ import annotations

from trimtab.engines._shared.tokenization import ScoringStep, build_scoring_steps


def test_candidates_of_one_token_each_are_one_step() -> None:
    assert build_scoring_steps([[7], [8], [7]], max_tokens=9) == [ScoringStep((), (7, 8))]


def test_a_position_that_candidates_share_is_one_step() -> None:
    assert build_scoring_steps([[1, 2, 3], [1, 2, 4], [1, 5]], max_tokens=9) == [
        ScoringStep((), (1,)),
        ScoringStep((1,), (2, 5)),
        ScoringStep((1, 2), (3, 4)),
    ]


def test_a_candidate_that_continues_another_adds_a_step() -> None:
    assert build_scoring_steps([[1], [1, 2]], max_tokens=9) == [ScoringStep((), (1,)), ScoringStep((1,), (2,))]


def test_too_many_tokens_are_split_into_several_steps() -> None:
    assert build_scoring_steps([[1], [2], [3]], max_tokens=2) == [ScoringStep((), (1, 2)), ScoringStep((), (3,))]
