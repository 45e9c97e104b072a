"""Gold rewards by one scorer: of a model's answers, and of the responses of pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, get_args

from trimtab.core.component import Component
from trimtab.core.interfaces import Scorer, StreamingScorer
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, StudyError
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.scorers.study_reward_model import StudyRewardModel
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import REWARD_SCHEMA, SCORE_SCHEMA, load_completions, load_split_pairs, scores_to_rows
from trimtab.types import Choice, Completion, Pair, Score

CHOICES: tuple[Choice, ...] = get_args(Choice)
# Scores that are kept at once: what a kill can cost.
SCORES_PER_CHUNK = 64


def score_stage(name: str, scorer: Component, completions: Stage, reward_model: Stage | None) -> Stage:
    """Scores the answers that another stage generated; `reward` is the stage that trained the scorer, where one did."""
    asked = as_scorer(scorer)

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        answers = {each.prompt_id: each for each in load_completions(inputs["completions"])}
        scores = _score_all(name, asked, answers, draft, inputs, runtime)
        draft.write_rows("scores", scores_to_rows(scores), SCORE_SCHEMA)
        return {"prompts": len(scores), "failed": sum(each.status == "failed" for each in scores)}

    return Stage(
        name=name,
        kind="score",
        execute=make,
        settings={"scorer": identity_settings(scorer)},
        input_stages={"completions": completions, **({"reward": reward_model} if reward_model else {})},
        external_hashes={"scorer": asked.content_hash()},
    )


def pair_scores_stage(name: str, scorer: Component, split: Stage, split_name: Literal["unlabeled", "test"]) -> Stage:
    """Scores both responses of the pairs of one side, as if a model had answered so.

    A pair of which a response has no score is left out and counted.
    """
    asked = as_scorer(scorer)

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = load_split_pairs(inputs["split"], split_name)
        answers = {f"{pair.id}.{choice}": _response_as_completion(pair, choice) for pair in pairs for choice in CHOICES}
        values = [each.value for each in _score_all(name, asked, answers, draft, inputs, runtime)]
        rows = [
            {"id": pair.id, "a": a, "b": b}
            for pair, a, b in zip(pairs, values[::2], values[1::2], strict=True)
            if a is not None and b is not None
        ]
        draft.write_rows("rewards", rows, REWARD_SCHEMA)
        return {"pairs": len(pairs), "failed": len(pairs) - len(rows)}

    return Stage(
        name=name,
        kind="pair_scores",
        execute=make,
        settings={"scorer": identity_settings(scorer), "side": split_name},
        input_stages={"split": split},
        external_hashes={"scorer": asked.content_hash()},
    )


def as_scorer(component: Component) -> Scorer:
    if not isinstance(component, Scorer):
        raise StudyError(f"{type(component).__name__} is not a scorer (it needs `score` and `identity`)")
    return component


def _score_all(
    name: str, scorer: Scorer, answers: Mapping[str, Completion], draft: Draft, inputs: StageInputs, runtime: Runtime
) -> list[Score]:
    """One score an answer, in order; those that were made before a kill are not made again. Answers go by a key each."""
    places = {key: place for place, key in enumerate(answers)}
    keys, asked = list(answers), list(answers.values())

    def make(missing: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        for found in _iter_score_chunks(name, scorer, asked, [places[key] for key in missing], inputs, runtime):
            rows = scores_to_rows(_fail_non_finite(each) for each in found.values())
            yield [{"key": keys[place], **row} for place, row in zip(found, rows, strict=True)]

    kept = draft.resumable_rows("scores", keys, make)
    return [Score(prompt_id=row["id"], value=row["value"], status=row["status"], note=row["note"]) for row in kept]


def _iter_score_chunks(
    name: str,
    scorer: Scorer,
    answers: Sequence[Completion],
    wanted: Sequence[int],
    inputs: StageInputs,
    runtime: Runtime,
) -> Iterator[dict[int, Score]]:
    """Scores of the answers at these places. A scorer that does not say how it scores each is always given them all."""
    if not wanted:
        return
    if isinstance(scorer, StudyRewardModel):
        yield from scorer.score_with_checkpoint(inputs["reward"].folder, answers, set(wanted), runtime)
    elif isinstance(scorer, StreamingScorer):
        scores = scorer.iter_scores([answers[place] for place in wanted], runtime)
        for start in range(0, len(wanted), SCORES_PER_CHUNK):
            places = wanted[start : start + SCORES_PER_CHUNK]
            found = _validate_scores(name, [answers[place] for place in places], list(islice(scores, len(places))))
            yield dict(zip(places, found, strict=True))
        _validate_scores(name, [], list(scores))
    else:
        scored = _validate_scores(name, answers, scorer.score(answers, runtime))
        yield {place: scored[place] for place in wanted}


def _validate_scores(name: str, answers: Sequence[Completion], scores: list[Score]) -> list[Score]:
    if [each.prompt_id for each in answers] != [each.prompt_id for each in scores]:
        raise DataError(f"{name}: the scorer must give one score a completion, in order")
    return scores


def _fail_non_finite(score: Score) -> Score:
    """The score, failed where its value is no number: it can neither be averaged nor preferred to another."""
    if score.value is None:
        return score
    if not math.isfinite(score.value):
        return replace(score, value=None, status="failed", note=f"the reward is {float(score.value)}")
    return replace(score, value=float(score.value))


def _response_as_completion(pair: Pair, choice: Choice) -> Completion:
    return Completion(
        prompt_id=pair.prompt_id, prompt=pair.prompt, text=pair.response(choice), n_tokens=0, finish_reason="end"
    )
