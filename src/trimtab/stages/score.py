"""Gold rewards by one scorer: of a model's answers, and of the responses of pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, get_args

from trimtab.components import Component
from trimtab.errors import DataError, StudyError
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.protocols import Runtime, Scorer, ScoresEach
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import REWARDS, SCORES, completions_of, pairs_of, score_rows
from trimtab.store import Draft
from trimtab.types import Choice, Completion, Pair, Score

CHOICES: tuple[Choice, ...] = get_args(Choice)
# Scores that are kept at once: what a kill can cost.
CHUNK = 64


def score_stage(name: str, scorer: Component, completions: Stage, reward: Stage | None) -> Stage:
    """Scores the answers that another stage generated; `reward` is the stage that trained the scorer, where one did."""
    asked = as_scorer(scorer)

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        answers = {each.prompt_id: each for each in completions_of(inputs["completions"])}
        scores = _scores(name, asked, answers, draft, inputs, runtime)
        draft.write_rows("scores", score_rows(scores), SCORES)
        return {"prompts": len(scores), "failed": sum(each.status == "failed" for each in scores)}

    return Stage(
        name=name,
        kind="score",
        make=make,
        settings={"scorer": told(scorer)},
        needs={"completions": completions, **({"reward": reward} if reward else {})},
        identities={"scorer": asked.identity()},
    )


def pair_rewards_stage(name: str, scorer: Component, split: Stage, side: Literal["unlabeled", "test"]) -> Stage:
    """Scores both responses of the pairs of one side, as if a model had answered so.

    A pair of which a response has no score is left out and counted.
    """
    asked = as_scorer(scorer)

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = pairs_of(inputs["split"], side)
        answers = {f"{pair.id}.{choice}": _as_answer(pair, choice) for pair in pairs for choice in CHOICES}
        values = [each.value for each in _scores(name, asked, answers, draft, inputs, runtime)]
        rows = [
            {"id": pair.id, "a": a, "b": b}
            for pair, a, b in zip(pairs, values[::2], values[1::2], strict=True)
            if a is not None and b is not None
        ]
        draft.write_rows("rewards", rows, REWARDS)
        return {"pairs": len(pairs), "failed": len(pairs) - len(rows)}

    return Stage(
        name=name,
        kind="rewards",
        make=make,
        settings={"scorer": told(scorer), "side": side},
        needs={"split": split},
        identities={"scorer": asked.identity()},
    )


def as_scorer(component: Component) -> Scorer:
    if not isinstance(component, Scorer):
        raise StudyError(f"{type(component).__name__} is not a scorer (it needs `score` and `identity`)")
    return component


def _scores(
    name: str, scorer: Scorer, answers: Mapping[str, Completion], draft: Draft, inputs: Inputs, runtime: Runtime
) -> list[Score]:
    """One score an answer, in order; those that were made before a kill are not made again. Answers go by a key each."""
    places = {key: place for place, key in enumerate(answers)}
    keys, asked = list(answers), list(answers.values())

    def make(missing: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        for found in _in_chunks(name, scorer, asked, [places[key] for key in missing], inputs, runtime):
            rows = score_rows(_finite(each) for each in found.values())
            yield [{"key": keys[place], **row} for place, row in zip(found, rows, strict=True)]

    kept = draft.keep("scores", keys, make)
    return [Score(prompt_id=row["id"], value=row["value"], status=row["status"], note=row["note"]) for row in kept]


def _in_chunks(
    name: str, scorer: Scorer, answers: Sequence[Completion], wanted: Sequence[int], inputs: Inputs, runtime: Runtime
) -> Iterator[dict[int, Score]]:
    """Scores of the answers at these places. A scorer that does not say how it scores each is always given them all."""
    if not wanted:
        return
    if isinstance(scorer, TrainedReward):
        yield from scorer.score_with(inputs["reward"].folder, answers, set(wanted), runtime)
    elif isinstance(scorer, ScoresEach):
        scores = scorer.each([answers[place] for place in wanted], runtime)
        for start in range(0, len(wanted), CHUNK):
            places = wanted[start : start + CHUNK]
            found = _one_each(name, [answers[place] for place in places], list(islice(scores, len(places))))
            yield dict(zip(places, found, strict=True))
        _one_each(name, [], list(scores))
    else:
        scored = _one_each(name, answers, scorer.score(answers, runtime))
        yield {place: scored[place] for place in wanted}


def _one_each(name: str, answers: Sequence[Completion], scores: list[Score]) -> list[Score]:
    if [each.prompt_id for each in answers] != [each.prompt_id for each in scores]:
        raise DataError(f"{name}: the scorer must give one score a completion, in order")
    return scores


def _finite(score: Score) -> Score:
    """The score, failed where its value is no number: it can neither be averaged nor preferred to another."""
    if score.value is None:
        return score
    if not math.isfinite(score.value):
        return replace(score, value=None, status="failed", note=f"the reward is {float(score.value)}")
    return replace(score, value=float(score.value))


def _as_answer(pair: Pair, choice: Choice) -> Completion:
    return Completion(prompt_id=pair.prompt_id, prompt=pair.prompt, text=pair.response(choice), n_tokens=0, stop="end")
