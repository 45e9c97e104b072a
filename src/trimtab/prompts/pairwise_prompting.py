"""Prompts an engine about many items, one batched call per step, and tracks reasoning, cost and errors of each item.

Annotators and judges share it. An item is a pair or a comparison in one presentation order; each of the two packages
combines the orders by its own rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from trimtab.core.interfaces import Engine
from trimtab.prompts.reply_checks import describe_generation_error, describe_scoring_error
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptState:
    """State of one item: the model's reasoning so far, and the total cost. With an `error` it is not prompted again."""

    reasoning: str = ""
    cost: Cost = field(default_factory=Cost)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """Sampling settings of one step. Temperature 0 is greedy decoding."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    stop: Sequence[str] = ()


State = TypeVar("State", bound=PromptState)


def generate_for_each(
    engine: Engine,
    states: Sequence[State],
    build_request: Callable[[State], EngineRequest],
    update: Callable[[State, Generation], State],
    settings: GenerationSettings,
) -> list[State]:
    """Generates text for all states without an error, in one call. `update` adds a successful generation to its state."""
    active = _list_active(states)
    generations = engine.generate(
        [build_request(states[index]) for index in active],
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        seed=settings.seed,
        stop=settings.stop,
    )
    updated = list(states)
    for index, generation in zip(active, generations, strict=True):
        state = replace(states[index], cost=states[index].cost + generation.cost)
        error = describe_generation_error(generation)
        updated[index] = replace(state, error=error) if error else update(state, generation)
    return updated


def score_for_each(
    engine: Engine,
    states: Sequence[State],
    build_request: Callable[[State], EngineRequest],
    candidates: Sequence[str],
    update: Callable[[State, ChoiceScores], State],
    *,
    include_end_of_turn: bool = False,
) -> list[State]:
    """Scores the candidates for all states without an error, in one call. `update` adds valid scores to their state."""
    active = _list_active(states)
    scores = engine.score_choices(
        [build_request(states[index]) for index in active],
        [candidates] * len(active),
        include_end_of_turn=include_end_of_turn,
    )
    updated = list(states)
    for index, choice_scores in zip(active, scores, strict=True):
        state = replace(states[index], cost=states[index].cost + choice_scores.cost)
        error = describe_scoring_error(choice_scores)
        updated[index] = replace(state, error=error) if error else update(state, choice_scores)
    return updated


def _list_active(states: Sequence[PromptState]) -> list[int]:
    return [index for index, state in enumerate(states) if not state.error]
