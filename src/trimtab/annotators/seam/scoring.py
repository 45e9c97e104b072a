"""Turns engine scores into the probability that the first response is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from operator import add
from typing import TypeVar

from trimtab.annotators.seam.variants import VariantSettings
from trimtab.core.interfaces import Engine
from trimtab.prompts.principles import Principle
from trimtab.prompts.reply_checks import compute_min_samples
from trimtab.prompts.seam import (
    RESPONSE_CANDIDATES,
    OrderedPair,
    build_judgment_request,
    build_preference_request,
    swap_response_numbers,
)
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation

# The released code averages over this many tokens: `Response`, a space, a digit and the end of turn, with Qwen's tokenizer. An
# engine returns only the tokens from the first difference on; the others cancel out in the difference.
ANSWER_TOKENS = 4

T = TypeVar("T")
_CombineOrders = Callable[[Sequence[float]], float]
# Inputs of one judgment: the pair, the chain of principles, and the parts of the thought.
Judgment = tuple[OrderedPair, Sequence[Principle], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceEstimate:
    """The probability that the first response is better. `p_first` is None if a request failed; `note` gives the reason.

    `probabilities` has that of the first response for each presentation order. `samples`: the smallest number of samples that
    a probability was estimated from, 0 if the engine returned probabilities. `calls` counts like the released code: one
    sequence per scored response.
    """

    p_first: float | None
    probabilities: tuple[float, ...] = ()
    note: str = ""
    cost: Cost = field(default_factory=Cost)
    calls: int = 0
    samples: int = 0


def score_judgments(
    engine: Engine, judgments: Sequence[Judgment], variant: VariantSettings
) -> list[PreferenceEstimate]:
    """One estimate per judgment. With both presentation orders it is their mean, which cancels position bias."""

    def build_requests(pair: OrderedPair, chain: Sequence[Principle], thought: Sequence[str]) -> list[EngineRequest]:
        request = build_judgment_request(pair, chain, thought)
        if variant.presentation_order == "single":
            return [request]
        return [request, build_judgment_request(pair.swap(), chain, swap_response_numbers(thought))]

    scores = _score_requests(engine, [build_requests(*judgment) for judgment in judgments], variant)
    return [_combine_scores(group, variant, _average_orders) for group in scores]


def score_strong_picks(
    engine: Engine, pairs: Sequence[OrderedPair], principles: Sequence[Principle], variant: VariantSettings
) -> list[PreferenceEstimate]:
    """The strong model's own preference, from the order in which it is more confident, as in the released code.

    If it is equally confident of opposite preferences, the probability is 1/2.
    """
    requests = [
        [build_preference_request(pair, principles), build_preference_request(pair.swap(), principles)]
        for pair in pairs
    ]
    return [
        _combine_scores(group, variant, _take_most_confident) for group in _score_requests(engine, requests, variant)
    ]


def add_costs(costs: Sequence[Cost]) -> Cost:
    return reduce(add, costs, Cost())


def find_error(replies: Sequence[ChoiceScores] | Sequence[Generation]) -> str:
    """The reason for the first failed reply; empty if none failed."""
    failed = next((reply for reply in replies if reply.status != "ok"), None)
    return "" if failed is None else failed.note or f"the engine's reply {failed.status}"


def describe_invalid_probability(probabilities: Sequence[float]) -> str:
    """Describes the first value outside [0, 1] or NaN; empty if all are probabilities."""
    invalid = next((p for p in probabilities if not 0.0 <= p <= 1.0), None)
    return "" if invalid is None else f"the engine returned a probability of {invalid}"


def split_by_sizes(items: Sequence[T], sizes: Sequence[int]) -> list[list[T]]:
    remaining = iter(items)
    return [list(islice(remaining, size)) for size in sizes]


def _score_requests(
    engine: Engine, groups: Sequence[Sequence[EngineRequest]], variant: VariantSettings
) -> list[list[ChoiceScores]]:
    requests = [request for group in groups for request in group]
    if not requests:
        return []
    include_end_of_turn = variant.answer_scoring == "mean_with_eos"
    scores = engine.score_choices(
        requests, [RESPONSE_CANDIDATES] * len(requests), include_end_of_turn=include_end_of_turn
    )
    return split_by_sizes(scores, [len(group) for group in groups])


def _combine_scores(
    scores: Sequence[ChoiceScores], variant: VariantSettings, combine: _CombineOrders
) -> PreferenceEstimate:
    cost, calls = add_costs([item.cost for item in scores]), len(RESPONSE_CANDIDATES) * len(scores)
    note = find_error(scores)
    if note:
        return PreferenceEstimate(p_first=None, note=note, cost=cost, calls=calls)
    probabilities = [compute_first_probability(item, variant) for item in scores]
    available = [p for p in probabilities if p is not None]
    if note := describe_invalid_probability(available):
        return PreferenceEstimate(p_first=None, note=note, cost=cost, calls=calls)
    if len(available) < len(probabilities):
        note = "answer_scoring: mean_with_eos needs log-probabilities, which this engine does not return; use sum"
        return PreferenceEstimate(p_first=None, note=note, cost=cost, calls=calls)
    return PreferenceEstimate(
        p_first=combine(available),
        probabilities=tuple(_align_to_first(available)),
        cost=cost,
        calls=calls,
        samples=compute_min_samples(item.samples for item in scores),
    )


def compute_first_probability(scores: ChoiceScores, variant: VariantSettings) -> float | None:
    """The first candidate's probability; None if the engine does not return the log-probabilities it needs.

    `mean_with_eos` is that of the released code: the softmax of the mean log-probability per token, end of turn included, so
    that a difference of d nats gives sigmoid(d / 4).
    """
    if variant.answer_scoring == "sum":
        return scores.probabilities[0]
    if scores.logprobs is None:
        return None
    first, second = (logprob / ANSWER_TOKENS for logprob in scores.logprobs)
    if first == second:
        return 0.5
    small = math.exp(-abs(first - second))
    return 1 / (1 + small) if first > second else small / (1 + small)


def _align_to_first(probabilities: Sequence[float]) -> list[float]:
    """The probability of the pair's first response, which is presented second in the second order."""
    return [p if index == 0 else 1.0 - p for index, p in enumerate(probabilities)]


def _average_orders(probabilities: Sequence[float]) -> float:
    return sum(_align_to_first(probabilities)) / len(probabilities)


def _take_most_confident(probabilities: Sequence[float]) -> float:
    forward, backward = probabilities[0], 1.0 - probabilities[1]
    forward_confidence, backward_confidence = abs(forward - 0.5), abs(backward - 0.5)
    if math.isclose(forward_confidence, backward_confidence):
        return forward if (forward - 0.5) * (backward - 0.5) >= 0 else 0.5
    return forward if forward_confidence > backward_confidence else backward
