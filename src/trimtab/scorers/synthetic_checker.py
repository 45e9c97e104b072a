"""The gold reward of completions on the starter set: each prompt has a checker of its own."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.starter import GENERATOR_VERSION, compute_gold_reward
from trimtab.types import Completion, Score


class SyntheticChecker(Component):
    """Each starter prompt's own checker, in [0, 1]. A completion of any other prompt is failed, never zero."""

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        scores: list[Score] = []
        with runtime.progress("Checking answers", len(completions), "answers") as tick:
            for completion in completions:
                scores.append(_score_completion(completion))
                tick()
        return scores

    def content_hash(self) -> str:
        return f"starter-{GENERATOR_VERSION}"


def _score_completion(completion: Completion) -> Score:
    asked = [message.content for message in completion.prompt if message.role == "user"]
    if not asked:
        return Score(prompt_id=completion.prompt_id, value=None, status="failed", note="the prompt has no user turn")
    try:
        value = compute_gold_reward(asked[-1], completion.text)
    except DataError as error:
        return Score(prompt_id=completion.prompt_id, value=None, status="failed", note=str(error))
    return Score(prompt_id=completion.prompt_id, value=value)
