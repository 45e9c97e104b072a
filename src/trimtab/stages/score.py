"""Gold rewards of a model's answers, by one scorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.components import Component
from trimtab.errors import DataError, StudyError
from trimtab.evaluation.trained_reward import TrainedReward
from trimtab.protocols import Runtime, Scorer
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import SCORES, completions_of, score_rows
from trimtab.store import Draft


def score_stage(name: str, scorer: Component, completions: Stage, reward: Stage | None) -> Stage:
    """Scores the answers that another stage generated; `reward` is the stage that trained the scorer, where one did."""
    if not isinstance(scorer, Scorer):
        raise StudyError(f"{type(scorer).__name__} is not a scorer (it needs `score` and `identity`)")
    asked: Scorer = scorer

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        answers = completions_of(inputs["completions"])
        if isinstance(scorer, TrainedReward):
            scores = scorer.score_with(inputs["reward"].folder, answers, runtime)
        else:
            scores = asked.score(answers, runtime)
        if [each.prompt_id for each in answers] != [each.prompt_id for each in scores]:
            raise DataError(f"{name}: the scorer must give one score a completion, in order")
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
