"""The `criteria` judge: asks a model about each criterion separately, and learns from human labels how much each counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from trimtab.core.annotator_inputs import Requirements
from trimtab.core.component import ENGINE_FIELD, Component
from trimtab.core.interfaces import Engine
from trimtab.judges._shared.position_swap import build_identical_verdict
from trimtab.prompts.comparison import BOTH_ORDERS
from trimtab.prompts.criteria import CriterionPrompt
from trimtab.prompts.criteria_settings import CriteriaSettings
from trimtab.prompts.criterion_answers import PairAnswers, ask_about_pairs
from trimtab.prompts.criterion_weights import CriterionWeights, fit_criteria, to_probability
from trimtab.types import Comparison, JudgeChoice, Order, Outcome, Pair, SingleVerdict, Verdict


class Criteria(CriteriaSettings):
    """Asks a model about each criterion separately, in both presentation orders, and combines the answers by their weights.

    A criterion has one or more phrasings of a question, whose probabilities are averaged. The weights of the criteria's
    log-odds are fitted on the labeled pairs, as those of the annotator `criteria`. The outcome is the sign of the weighted sum
    over both orders, so position bias cancels; a sum of exactly 0 is a tie. Each verdict has every criterion's probability and
    weight. If a question cannot be answered, the comparison counts as failed.
    """

    engine: Annotated[Component, ENGINE_FIELD]

    def requirements(self) -> Requirements:
        return Requirements(engines={"judge": self.engine}, labeled_pairs=True)

    def fit(self, labeled_pairs: Sequence[Pair], engines: Mapping[str, Engine]) -> FittedCriteria:
        prompts = self.build_prompts()
        weights = fit_criteria("criteria", engines["judge"], prompts, labeled_pairs)
        return FittedCriteria(settings=self, prompts=prompts, weights=weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedCriteria:
    """A judge with the weights of its criteria."""

    settings: Criteria
    prompts: Mapping[str, Sequence[CriterionPrompt]]
    weights: CriterionWeights

    def requirements(self) -> Requirements:
        return self.settings.requirements()

    def judge(self, comparisons: Sequence[Comparison], engines: Mapping[str, Engine]) -> list[Verdict]:
        pairs = [_to_pair(each) for each in comparisons if each.candidate != each.baseline]
        answers = iter(ask_about_pairs(engines["judge"], self.prompts, pairs))
        return [
            build_identical_verdict(comparison.id)
            if comparison.candidate == comparison.baseline
            else _build_verdict(comparison, next(answers), self.weights)
            for comparison in comparisons
        ]


def _to_pair(comparison: Comparison) -> Pair:
    return Pair.from_responses(comparison.prompt, comparison.candidate, comparison.baseline)


def _build_verdict(comparison: Comparison, answers: PairAnswers, weights: CriterionWeights) -> Verdict:
    if note := answers.error or weights.problem:
        unanswered = SingleVerdict(choice=None)
        return Verdict(
            id=comparison.id, outcome="failed", forward=unanswered, reversed=unanswered, note=note, cost=answers.cost
        )
    candidate = answers.pair.get_choice(comparison.candidate)
    margin = weights.combine(answers)
    outcome: Outcome = "tie" if margin == 0 else "win" if (margin > 0) == (candidate == "a") else "loss"
    a_first, b_first = (_build_single_verdict(answers, weights, order) for order in BOTH_ORDERS)
    forward, reverse = (a_first, b_first) if candidate == "a" else (b_first, a_first)
    return Verdict(id=comparison.id, outcome=outcome, forward=forward, reversed=reverse, cost=answers.cost)


def _build_single_verdict(answers: PairAnswers, weights: CriterionWeights, order: Order) -> SingleVerdict:
    """The answers in one order, from those about `a` to those about the first response."""
    sign = 1 if order == "a_first" else -1
    margin = sign * weights.combine(answers, order)
    criteria = {name: (1 + sign * each.preference_by_order[order]) / 2 for name, each in answers.by_criterion.items()}
    choice: JudgeChoice = "tie" if margin == 0 else "first" if margin > 0 else "second"
    return SingleVerdict(
        choice=choice, probability_first=to_probability(margin), criteria=criteria, weights=weights.by_criterion
    )
