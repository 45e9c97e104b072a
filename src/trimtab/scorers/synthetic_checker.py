"""The `synthetic_checker` scorer: each prompt of the starter set has its own checker."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.starter import GENERATOR_VERSION, compute_gold_reward
from trimtab.types import Completion, Score


class SyntheticChecker(Component):
    """Scores responses to starter prompts with the prompt's own checker, in [0, 1].

    A response to any other prompt gets a failed score, never zero.
    """

    def score(self, completions: Sequence[Completion], runtime: Runtime) -> list[Score]:
        scores: list[Score] = []
        with runtime.progress("Checking responses", len(completions), "responses") as tick:
            for completion in completions:
                scores.append(_score_completion(completion))
                tick()
        return scores

    def content_hash(self) -> str:
        return f"starter-{GENERATOR_VERSION}"


def _score_completion(completion: Completion) -> Score:
    user_turns = [message.content for message in completion.prompt if message.role == "user"]
    if not user_turns:
        return Score(prompt_id=completion.prompt_id, value=None, status="failed", note="the prompt has no user turn")
    try:
        value = compute_gold_reward(user_turns[-1], completion.text)
    except DataError as error:
        return Score(prompt_id=completion.prompt_id, value=None, status="failed", note=str(error))
    return Score(prompt_id=completion.prompt_id, value=value)
