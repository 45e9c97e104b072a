"""Labels pairs by prompting a model in one or both presentation orders and combining the probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import (
    BOTH_ORDERS,
    VERDICT_LABEL,
    Argument,
    ComparisonPrompt,
    choice_at_position,
    pick_random_order,
)
from trimtab.prompts.pairwise_prompting import GenerationSettings, PromptState, generate_for_each, score_for_each
from trimtab.prompts.reply_checks import compute_min_samples, format_sample_note
from trimtab.types import Annotation, ChoiceScores, Cost, EngineRequest, Generation, Order, Pair

PresentationOrder = Literal["both", "random", "most_confident"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonState(PromptState):
    """State of a pair in one presentation order.

    `preference` in [-1, 1] is the probability of response `a` minus that of `b`. `num_truncated` counts generations that
    reached the token limit; None if no text was generated. `samples` is the number of samples the probabilities were
    estimated from, 0 if the engine returned probabilities.
    """

    pair: Pair
    order: Order
    arguments: tuple[Argument, ...] = ()
    preference: float | None = None
    num_truncated: int | None = None
    samples: int = 0


def prompt_directly(
    engine: Engine,
    prompt: ComparisonPrompt,
    pairs: Sequence[Pair],
    presentation_order: PresentationOrder,
    max_reasoning_tokens: int = 0,
) -> list[Annotation]:
    """Asks one model for its verdicts, after at most `max_reasoning_tokens` tokens of reasoning."""
    states = build_comparison_states(pairs, presentation_order)
    if max_reasoning_tokens:
        states = generate_text(
            engine,
            states,
            lambda state: prompt.build_reasoning_request(state.pair, state.order),
            lambda state, text: replace(state, reasoning=text),
            max_new_tokens=max_reasoning_tokens,
            stop=(VERDICT_LABEL,),
        )
    return aggregate_orders(pairs, score_verdicts(engine, prompt, states), presentation_order)


def build_comparison_states(pairs: Sequence[Pair], presentation_order: PresentationOrder) -> list[ComparisonState]:
    """The initial states; the states of a pair are adjacent. With `random`, the texts determine the order."""
    return [
        ComparisonState(pair=pair, order=order) for pair in pairs for order in _list_orders(pair, presentation_order)
    ]


def _list_orders(pair: Pair, presentation_order: PresentationOrder) -> Sequence[Order]:
    if presentation_order != "random":
        return BOTH_ORDERS
    return (pick_random_order(pair),)


def generate_text(
    engine: Engine,
    states: Sequence[ComparisonState],
    build_request: Callable[[ComparisonState], EngineRequest],
    add_text: Callable[[ComparisonState, str], ComparisonState],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> list[ComparisonState]:
    """Generates one text per state, in one call, and counts those that reached the token limit."""

    def update(state: ComparisonState, generation: Generation) -> ComparisonState:
        truncated = (state.num_truncated or 0) + (generation.finish_reason == "length")
        return add_text(replace(state, num_truncated=truncated), generation.text.strip())

    counted = [state if state.error else replace(state, num_truncated=state.num_truncated or 0) for state in states]
    settings = GenerationSettings(max_new_tokens=max_new_tokens, stop=stop)
    return generate_for_each(engine, counted, build_request, update, settings)


def score_verdicts(
    engine: Engine, prompt: ComparisonPrompt, states: Sequence[ComparisonState]
) -> list[ComparisonState]:
    """Scores the verdict of each state, in one call."""

    def build_request(state: ComparisonState) -> EngineRequest:
        return prompt.build_verdict_request(
            state.pair, state.order, reasoning=state.reasoning, arguments=state.arguments
        )

    def update(state: ComparisonState, scores: ChoiceScores) -> ComparisonState:
        first, second = scores.probabilities
        preference = first - second if state.order == "a_first" else second - first
        return replace(state, preference=preference, samples=scores.samples)

    return score_for_each(engine, states, build_request, prompt.candidates, update)


def aggregate_orders(
    pairs: Sequence[Pair], states: Sequence[ComparisonState], presentation_order: PresentationOrder
) -> list[Annotation]:
    """One annotation per pair: the average of its orders, or the more confident order."""
    size = 1 if presentation_order == "random" else 2
    groups = [states[start : start + size] for start in range(0, len(states), size)]
    return [_aggregate_pair(pair, group, presentation_order) for pair, group in zip(pairs, groups, strict=True)]


def _aggregate_pair(pair: Pair, states: Sequence[ComparisonState], presentation_order: PresentationOrder) -> Annotation:
    cost = sum((state.cost for state in states), Cost())
    preferences = [state.preference for state in states if state.preference is not None]
    inconsistent = len(preferences) == len(BOTH_ORDERS) and min(preferences) < 0 < max(preferences)
    detail = _build_detail(states, inconsistent)
    errors = list(dict.fromkeys(state.error for state in states if state.error))
    if errors:
        return Annotation(pair_id=pair.id, p_a=None, status="failed", note="; ".join(errors), cost=cost, detail=detail)
    p_a = (1 + _combine_preferences(preferences, presentation_order)) / 2
    if p_a == 0.5:
        note = "tie: the two orders contradict each other" if inconsistent else "tie"
        return Annotation(pair_id=pair.id, p_a=None, status="abstained", note=note, cost=cost, detail=detail)
    note = format_sample_note(detail.get("samples", 0))
    return Annotation(pair_id=pair.id, p_a=p_a, note=note, cost=cost, detail=detail)


def _combine_preferences(preferences: Sequence[float], presentation_order: PresentationOrder) -> float:
    """Averages preferences rather than probabilities, so that pure position bias cancels to exactly 0."""
    confidence = max(map(abs, preferences))
    used = [value for value in preferences if presentation_order != "most_confident" or abs(value) == confidence]
    return sum(used) / len(used)


def _build_detail(states: Sequence[ComparisonState], inconsistent: bool) -> dict[str, Any]:
    """The probability of `a`, the reasoning and the arguments by presentation order; counts of truncated texts and samples."""
    p_a = {state.order: (1 + state.preference) / 2 for state in states if state.preference is not None}
    detail: dict[str, Any] = {"p_a_by_order": p_a}
    if len(p_a) == len(BOTH_ORDERS):
        detail["order_inconsistent"] = inconsistent
    optional: dict[str, Any] = {
        "reasoning": {state.order: state.reasoning for state in states if state.reasoning},
        "arguments": {state.order: _argument_detail(state) for state in states if state.arguments},
        "samples": compute_min_samples(state.samples for state in states),
    }
    detail |= {key: value for key, value in optional.items() if value}
    truncated = [state.num_truncated for state in states if state.num_truncated is not None]
    return detail | ({"num_truncated": sum(truncated)} if truncated else {})


def _argument_detail(state: ComparisonState) -> list[dict[str, str]]:
    return [
        {"for": choice_at_position(argument.position, state.order), "text": argument.text}
        for argument in state.arguments
    ]


def add_argument(state: ComparisonState, argument: Argument) -> ComparisonState:
    """Adds an argument. An empty argument is an error, because the judge would have nothing to read."""
    if not argument.text:
        return replace(state, error=f"empty argument for Response {argument.position}")
    return replace(state, arguments=(*state.arguments, argument))
