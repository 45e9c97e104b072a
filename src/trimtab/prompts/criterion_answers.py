"""A model's answers to questions about pairs, by criterion and presentation order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import BOTH_ORDERS
from trimtab.prompts.criteria import CriterionPrompt
from trimtab.prompts.pairwise_prompting import PromptState, score_for_each
from trimtab.types import ChoiceScores, Cost, Order, Pair

# Answers of probability 0 or 1 have no log-odds.
MAX_PREFERENCE = 1 - 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionAnswer:
    """In each presentation order, the probability of `a` minus that of `b`, in [-1, 1], averaged over the phrasings."""

    preference_by_order: Mapping[Order, float]

    @property
    def preference(self) -> float:
        """The mean over both orders: a pure position bias cancels to exactly 0."""
        return fmean(self.preference_by_order.values())

    @property
    def order_inconsistent(self) -> bool:
        values = self.preference_by_order.values()
        return min(values) < 0 < max(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAnswers:
    """The answers about one pair, by criterion; empty if there is an `error`."""

    pair: Pair
    by_criterion: Mapping[str, CriterionAnswer]
    cost: Cost
    error: str = ""

    def log_odds(self, order: Order | None = None) -> list[float]:
        """The log-odds of `a` by criterion, in nats: in one presentation order, or averaged over both."""
        answers = self.by_criterion.values()
        return [_to_log_odds(each.preference if order is None else each.preference_by_order[order]) for each in answers]


@dataclass(frozen=True, slots=True, kw_only=True)
class _QuestionState(PromptState):
    pair: Pair
    order: Order
    criterion: str
    prompt: CriterionPrompt
    preference: float = 0.0


def ask_about_pairs(
    engine: Engine, prompts: Mapping[str, Sequence[CriterionPrompt]], pairs: Sequence[Pair]
) -> list[PairAnswers]:
    """Asks every question about every pair in both presentation orders. `prompts` has the phrasings by criterion."""
    questions = [(criterion, prompt) for criterion, phrasings in prompts.items() for prompt in phrasings]
    states = [
        _QuestionState(pair=pair, order=order, criterion=criterion, prompt=prompt)
        for pair in pairs
        for order in BOTH_ORDERS
        for criterion, prompt in questions
    ]
    candidates = questions[0][1].candidates
    answered = score_for_each(
        engine, states, lambda s: s.prompt.build_verdict_request(s.pair, s.order), candidates, _add_answer
    )
    size = len(BOTH_ORDERS) * len(questions)
    return [
        _collect_answers(pair, list(prompts), answered[index * size : (index + 1) * size])
        for index, pair in enumerate(pairs)
    ]


def _add_answer(state: _QuestionState, scores: ChoiceScores) -> _QuestionState:
    first, second = scores.probabilities
    return replace(state, preference=first - second if state.order == "a_first" else second - first)


def _collect_answers(pair: Pair, criteria: Sequence[str], states: Sequence[_QuestionState]) -> PairAnswers:
    cost = sum((state.cost for state in states), Cost())
    errors = list(dict.fromkeys(state.error for state in states if state.error))
    if errors:
        return PairAnswers(pair=pair, by_criterion={}, cost=cost, error="; ".join(errors))
    by_criterion = {
        criterion: CriterionAnswer(
            preference_by_order={
                order: fmean(s.preference for s in states if (s.criterion, s.order) == (criterion, order))
                for order in BOTH_ORDERS
            }
        )
        for criterion in criteria
    }
    return PairAnswers(pair=pair, by_criterion=by_criterion, cost=cost)


def _to_log_odds(preference: float) -> float:
    """ln(p / (1 - p)) for p = (1 + preference) / 2, which has the opposite sign for the opposite preference."""
    return 2 * math.atanh(max(-MAX_PREFERENCE, min(MAX_PREFERENCE, preference)))
