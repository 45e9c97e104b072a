"""Gold rewards by one scorer: of a model's answers, and of the responses of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from trimtab.components import Component
from trimtab.errors import DataError, StudyError
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.protocols import Runtime, Scorer
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import REWARDS, SCORES, completions_of, pairs_of, score_rows
from trimtab.store import Draft
from trimtab.types import Choice, Completion, Pair, Score

CHOICES: tuple[Choice, ...] = get_args(Choice)


def score_stage(name: str, scorer: Component, completions: Stage, reward: Stage | None) -> Stage:
    """Scores the answers that another stage generated; `reward` is the stage that trained the scorer, where one did."""
    asked = as_scorer(scorer)

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        scores = _scores(name, asked, completions_of(inputs["completions"]), inputs, runtime)
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
        answers = [_as_answer(pair, choice) for pair in pairs for choice in CHOICES]
        values = [each.value for each in _scores(name, asked, answers, inputs, runtime)]
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


def _scores(name: str, scorer: Scorer, answers: Sequence[Completion], inputs: Inputs, runtime: Runtime) -> list[Score]:
    if isinstance(scorer, TrainedReward):
        scores = scorer.score_with(inputs["reward"].folder, answers, runtime)
    else:
        scores = scorer.score(answers, runtime)
    if [each.prompt_id for each in answers] != [each.prompt_id for each in scores]:
        raise DataError(f"{name}: the scorer must give one score a completion, in order")
    return scores


def _as_answer(pair: Pair, choice: Choice) -> Completion:
    return Completion(prompt_id=pair.prompt_id, prompt=pair.prompt, text=pair.response(choice), n_tokens=0, stop="end")
