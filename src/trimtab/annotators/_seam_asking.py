"""What models answer to SEAM's questions, read as the probability that the first response is the better."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from operator import add
from typing import TypeVar

from trimtab.annotators._seam_rules import Rules
from trimtab.prompts.answers import fewest_draws
from trimtab.prompts.principles import Principle
from trimtab.prompts.seam import RESPONSES, Case, judgment, preference, renumbered
from trimtab.protocols import Engine
from trimtab.types import Cost, Question, Reply, Weighing

# Over so many tokens the released code takes the mean: `Response`, a space, a digit and the end, as Qwen's tokenizer cuts an
# answer. An engine counts only those from where the answers part, and the rest adds nothing to their difference.
ANSWER_TOKENS = 4

T = TypeVar("T")
_Combine = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """`p_first` is None where an answer failed, and `note` says why.

    `shares` are the first response's in each order that was asked. `samples` are the fewest draws that shares were counted
    over, 0 where the model told them. `calls` counts as the released code spends: a sequence
    for each response that is weighed.
    """

    p_first: float | None
    shares: tuple[float, ...] = ()
    note: str = ""
    cost: Cost = field(default_factory=Cost)
    calls: int = 0
    samples: int = 0


def judged(
    engine: Engine, asked: Sequence[tuple[Case, Sequence[Principle], Sequence[str]]], rules: Rules
) -> list[Opinion]:
    """One opinion a case, chain and thought. Asked in both orders, it is the mean of the two, and position falls out."""

    def questions(case: Case, chain: Sequence[Principle], thought: Sequence[str]) -> list[Question]:
        there = judgment(case, chain, thought)
        if rules.orders == "one":
            return [there]
        return [there, judgment(case.swapped(), chain, renumbered(thought))]

    found = _weighed(engine, [questions(*each) for each in asked], rules)
    return [_opinion(weighings, rules, _mean) for weighings in found]


def picked(engine: Engine, cases: Sequence[Case], principles: Sequence[Principle], rules: Rules) -> list[Opinion]:
    """The strong model's own pick: of both orders the one that it is surer in, as the released code takes it.

    Where it is equally sure of opposite picks there is no pick: a half.
    """
    asked = [[preference(each, principles), preference(each.swapped(), principles)] for each in cases]
    return [_opinion(weighings, rules, _surer) for weighings in _weighed(engine, asked, rules)]


def total(costs: Sequence[Cost]) -> Cost:
    return reduce(add, costs, Cost())


def failure(answers: Sequence[Weighing] | Sequence[Reply]) -> str:
    """What went wrong with the first answer that is not ok; empty where all are."""
    wrong = next((each for each in answers if each.status != "ok"), None)
    return "" if wrong is None else wrong.note or f"the engine's answer {wrong.status}"


def no_probability(shares: Sequence[float]) -> str:
    """Which of the shares is none, in words; empty where all are in [0, 1], in which nan is not."""
    wrong = next((share for share in shares if not 0.0 <= share <= 1.0), None)
    return "" if wrong is None else f"the engine gave a share of {wrong}"


def regrouped(answers: Sequence[T], sizes: Sequence[int]) -> list[list[T]]:
    rest = iter(answers)
    return [list(islice(rest, size)) for size in sizes]


def _weighed(engine: Engine, asked: Sequence[Sequence[Question]], rules: Rules) -> list[list[Weighing]]:
    questions = [question for group in asked for question in group]
    if not questions:
        return []
    ended = rules.answer_scores == "mean_with_end"
    answers = engine.weigh(questions, [RESPONSES] * len(questions), ended=ended)
    return regrouped(answers, [len(group) for group in asked])


def _opinion(weighings: Sequence[Weighing], rules: Rules, combine: _Combine) -> Opinion:
    cost, calls = total([each.cost for each in weighings]), len(RESPONSES) * len(weighings)
    note = failure(weighings)
    if note:
        return Opinion(p_first=None, note=note, cost=cost, calls=calls)
    shares = [share_of_first(each, rules) for each in weighings]
    known = [share for share in shares if share is not None]
    if note := no_probability(known):
        return Opinion(p_first=None, note=note, cost=cost, calls=calls)
    if len(known) < len(shares):
        note = "answer_scores: mean_with_end needs log-probabilities, which this engine does not give; use summed"
        return Opinion(p_first=None, note=note, cost=cost, calls=calls)
    samples = fewest_draws(each.samples for each in weighings)
    return Opinion(p_first=combine(known), shares=tuple(_firsts(known)), cost=cost, calls=calls, samples=samples)


def share_of_first(weighing: Weighing, rules: Rules) -> float | None:
    """The first candidate's share; None where it cannot be told.

    `mean_with_end` is the released code's: the softmax of the mean log-probability a token, end of turn included, so that a
    difference of d nats gives sigmoid(d / 4).
    """
    if rules.answer_scores == "summed":
        return weighing.shares[0]
    if weighing.logprobs is None:
        return None
    first, second = (each / ANSWER_TOKENS for each in weighing.logprobs)
    if first == second:
        return 0.5
    small = math.exp(-abs(first - second))
    return 1 / (1 + small) if first > second else small / (1 + small)


def _firsts(shares: Sequence[float]) -> list[float]:
    """The share of the response that stands first in the case: in the second order it stands second."""
    return [share if place == 0 else 1.0 - share for place, share in enumerate(shares)]


def _mean(shares: Sequence[float]) -> float:
    """Of the first response."""
    return sum(_firsts(shares)) / len(shares)


def _surer(shares: Sequence[float]) -> float:
    there, back = shares[0], 1.0 - shares[1]
    sure, other = abs(there - 0.5), abs(back - 0.5)
    if math.isclose(sure, other):
        return there if (there - 0.5) * (back - 0.5) >= 0 else 0.5
    return there if sure > other else back
