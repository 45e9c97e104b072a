"""What models answer to SEAM's questions, read as the probability that the first response is the better."""

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

# Over so many tokens the released code takes the mean: `Response`, a space, a digit and the end, as Qwen's tokenizer cuts an
# answer. An engine counts only those from where the answers part, and the rest adds nothing to their difference.
ANSWER_TOKENS = 4

T = TypeVar("T")
_Combine = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceEstimate:
    """`p_first` is None where an answer failed, and `note` says why.

    `shares` are the first response's in each order that was asked. `samples` are the fewest draws that shares were counted
    over, 0 where the model told them. `calls` counts as the released code spends: a sequence
    for each response that is weighed.
    """

    p_first: float | None
    probabilities: tuple[float, ...] = ()
    note: str = ""
    cost: Cost = field(default_factory=Cost)
    calls: int = 0
    samples: int = 0


def score_judgments(
    engine: Engine, asked: Sequence[tuple[OrderedPair, Sequence[Principle], Sequence[str]]], rules: VariantSettings
) -> list[PreferenceEstimate]:
    """One opinion a case, chain and thought. Asked in both orders, it is the mean of the two, and position falls out."""

    def questions(case: OrderedPair, chain: Sequence[Principle], thought: Sequence[str]) -> list[EngineRequest]:
        there = build_judgment_request(case, chain, thought)
        if rules.presentation_order == "single":
            return [there]
        return [there, build_judgment_request(case.swap(), chain, swap_response_numbers(thought))]

    found = _score_requests(engine, [questions(*each) for each in asked], rules)
    return [_combine_scores(weighings, rules, _average_orders) for weighings in found]


def score_strong_picks(
    engine: Engine, cases: Sequence[OrderedPair], principles: Sequence[Principle], rules: VariantSettings
) -> list[PreferenceEstimate]:
    """The strong model's own pick: of both orders the one that it is surer in, as the released code takes it.

    Where it is equally sure of opposite picks there is no pick: a half.
    """
    asked = [
        [build_preference_request(each, principles), build_preference_request(each.swap(), principles)]
        for each in cases
    ]
    return [
        _combine_scores(weighings, rules, _take_most_confident) for weighings in _score_requests(engine, asked, rules)
    ]


def add_costs(costs: Sequence[Cost]) -> Cost:
    return reduce(add, costs, Cost())


def find_error(answers: Sequence[ChoiceScores] | Sequence[Generation]) -> str:
    """What went wrong with the first answer that is not ok; empty where all are."""
    wrong = next((each for each in answers if each.status != "ok"), None)
    return "" if wrong is None else wrong.note or f"the engine's answer {wrong.status}"


def describe_invalid_probability(shares: Sequence[float]) -> str:
    """Which of the shares is none, in words; empty where all are in [0, 1], in which nan is not."""
    wrong = next((share for share in shares if not 0.0 <= share <= 1.0), None)
    return "" if wrong is None else f"the engine gave a share of {wrong}"


def split_by_sizes(answers: Sequence[T], sizes: Sequence[int]) -> list[list[T]]:
    rest = iter(answers)
    return [list(islice(rest, size)) for size in sizes]


def _score_requests(
    engine: Engine, asked: Sequence[Sequence[EngineRequest]], rules: VariantSettings
) -> list[list[ChoiceScores]]:
    questions = [question for group in asked for question in group]
    if not questions:
        return []
    ended = rules.answer_scoring == "mean_with_eos"
    answers = engine.score_choices(questions, [RESPONSE_CANDIDATES] * len(questions), include_end_of_turn=ended)
    return split_by_sizes(answers, [len(group) for group in asked])


def _combine_scores(weighings: Sequence[ChoiceScores], rules: VariantSettings, combine: _Combine) -> PreferenceEstimate:
    cost, calls = add_costs([each.cost for each in weighings]), len(RESPONSE_CANDIDATES) * len(weighings)
    note = find_error(weighings)
    if note:
        return PreferenceEstimate(p_first=None, note=note, cost=cost, calls=calls)
    shares = [compute_first_probability(each, rules) for each in weighings]
    known = [share for share in shares if share is not None]
    if note := describe_invalid_probability(known):
        return PreferenceEstimate(p_first=None, note=note, cost=cost, calls=calls)
    if len(known) < len(shares):
        note = "answer_scoring: mean_with_eos needs log-probabilities, which this engine does not return; use sum"
        return PreferenceEstimate(p_first=None, note=note, cost=cost, calls=calls)
    samples = compute_min_samples(each.samples for each in weighings)
    return PreferenceEstimate(
        p_first=combine(known), probabilities=tuple(_align_to_first(known)), cost=cost, calls=calls, samples=samples
    )


def compute_first_probability(weighing: ChoiceScores, rules: VariantSettings) -> float | None:
    """The first candidate's share; None where it cannot be told.

    `mean_with_end` is the released code's: the softmax of the mean log-probability a token, end of turn included, so that a
    difference of d nats gives sigmoid(d / 4).
    """
    if rules.answer_scoring == "sum":
        return weighing.probabilities[0]
    if weighing.logprobs is None:
        return None
    first, second = (each / ANSWER_TOKENS for each in weighing.logprobs)
    if first == second:
        return 0.5
    small = math.exp(-abs(first - second))
    return 1 / (1 + small) if first > second else small / (1 + small)


def _align_to_first(shares: Sequence[float]) -> list[float]:
    """The share of the response that stands first in the case: in the second order it stands second."""
    return [share if place == 0 else 1.0 - share for place, share in enumerate(shares)]


def _average_orders(shares: Sequence[float]) -> float:
    """Of the first response."""
    return sum(_align_to_first(shares)) / len(shares)


def _take_most_confident(shares: Sequence[float]) -> float:
    there, back = shares[0], 1.0 - shares[1]
    sure, other = abs(there - 0.5), abs(back - 0.5)
    if math.isclose(sure, other):
        return there if (there - 0.5) * (back - 0.5) >= 0 else 0.5
    return there if sure > other else back
