"""How much each criterion counts: weights of the answers' log-odds, fitted on pairs with human labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.core.human_labels import MIN_TRAINING_PAIRS, require_human_labels
from trimtab.core.interfaces import Engine
from trimtab.prompts.criteria import CriterionPrompt
from trimtab.prompts.criterion_answers import PairAnswers, ask_about_pairs
from trimtab.stats.logistic import fit_logistic_regression
from trimtab.types import Order, Pair, text_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionWeights:
    """The weights by criterion; empty, with the reason as `problem`, if the model's answers do not suffice to fit them."""

    by_criterion: Mapping[str, float]
    problem: str = ""

    def combine(self, answers: PairAnswers, order: Order | None = None) -> float:
        """The weighted sum of the log-odds of `a`, in nats: in one presentation order, or averaged over both."""
        return self.combine_log_odds(answers.log_odds(order))

    def combine_log_odds(self, values: Sequence[float]) -> float:
        """The weighted sum of log-odds by criterion."""
        return math.fsum(weight * value for weight, value in zip(self.by_criterion.values(), values, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabeledAnswers:
    """A model's answers about the labeled pairs, and the human labels of these pairs: 1 for `a`, 0 for `b`.

    If there are too few, `problem` is the reason, and nothing can be fitted.
    """

    usable: Sequence[PairAnswers]
    targets: Any
    problem: str = ""


def to_probability(margin: float) -> float:
    """The sigmoid of a sum of log-odds."""
    return 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0


def ask_about_labeled_pairs(
    kind: str, engine: Engine, prompts: Mapping[str, Sequence[CriterionPrompt]], labeled_pairs: Sequence[Pair]
) -> LabeledAnswers:
    """Asks about the pairs with a human label, in an order that depends only on them.

    Raises `DataError` if there are too few human labels.
    """
    human = require_human_labels(kind, labeled_pairs)
    labeled = sorted((pair for pair in labeled_pairs if pair.id in human), key=lambda pair: text_hash(pair.id))
    answers = ask_about_pairs(engine, prompts, labeled)
    usable = [each for each in answers if not each.error]
    problem = ""
    if len(usable) < MIN_TRAINING_PAIRS:
        reason = next(each.error for each in answers if each.error)
        problem = f"the model answered about {len(usable)} of {len(labeled)} labeled pairs: {reason}"
    targets = np.array([human[each.pair.id] == "a" for each in usable], dtype=np.float64)
    return LabeledAnswers(usable=usable, targets=targets, problem=problem)


def fit_criteria(
    kind: str, engine: Engine, prompts: Mapping[str, Sequence[CriterionPrompt]], labeled_pairs: Sequence[Pair]
) -> CriterionWeights:
    """Asks about the labeled pairs and fits the weights. Raises `DataError` if there are too few human labels."""
    answers = ask_about_labeled_pairs(kind, engine, prompts, labeled_pairs)
    if answers.problem:
        return CriterionWeights(by_criterion={}, problem=answers.problem)
    rows = np.array([each.log_odds() for each in answers.usable])
    weights = fit_criterion_weights(rows, answers.targets)
    return CriterionWeights(by_criterion=dict(zip(prompts, map(float, weights), strict=True)))


def fit_criterion_weights(rows: Any, targets: Any) -> Any:
    """The weights of log-odds, of shape (n, criteria), for targets in {0, 1}.

    One pseudo-pair per criterion, as decided as the average pair and with target 1/2, keeps the weights finite and unique.
    """
    scale = np.sqrt((rows**2).mean(axis=0))
    pseudo_pairs = np.diag(np.where(scale > 0, scale, 1.0))
    return fit_logistic_regression(np.vstack([rows, pseudo_pairs]), np.append(targets, [0.5] * rows.shape[1]))
