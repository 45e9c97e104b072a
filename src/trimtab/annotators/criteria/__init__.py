"""Criteria: asks a model about each criterion separately, and combines the answers with weights fitted on human labels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from trimtab.annotators._shared.supervised import MIN_TRAINING_PAIRS, require_human_labels
from trimtab.annotators.criteria.answers import PairAnswers, ask_about_pairs
from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import BOTH_ORDERS, AnswerFormat
from trimtab.prompts.criteria import DEFAULT_CRITERIA, CriterionPrompt
from trimtab.stats.logistic import fit_logistic_regression
from trimtab.types import Annotation, Pair, text_hash

_NAME_CHARACTERS = set("abcdefghijklmnopqrstuvwxyz0123456789_-")


class Criteria(Component):
    """Asks about each criterion separately, in both presentation orders, and combines the answers by logistic regression.

    A criterion has one or more phrasings of a question, whose probabilities are averaged. The weights of the criteria's
    log-odds are fitted on the labeled pairs, without an intercept, and shrunk by one pseudo-pair per criterion that speaks for
    neither response. `margin` is the weighted sum in nats, `p_a` its sigmoid; exact ties abstain. `detail` has each
    criterion's probability, its weight, and whether its two orders contradict each other.
    """

    SYMMETRIC: ClassVar[bool] = True

    weak: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@weak"})
    )
    criteria: Mapping[str, tuple[str, ...]] | None = Field(
        None,
        description="phrasings of a question by criterion; null: the built-in helpful, correct, harmless and clear",
    )
    answer_format: AnswerFormat = "response"

    @field_validator("criteria")
    @classmethod
    def _validate_criteria(cls, criteria: Mapping[str, tuple[str, ...]] | None) -> Mapping[str, tuple[str, ...]] | None:
        if criteria is not None and not criteria:
            raise ValueError("expected at least one criterion")
        for name, questions in (criteria or {}).items():
            if not name or set(name) - _NAME_CHARACTERS:
                raise ValueError(f"{name!r}: the name of a criterion has lowercase letters, digits, - and _")
            if not questions or any(not question.strip() for question in questions):
                raise ValueError(f"{name}: expected one or more questions")
        return criteria

    def requirements(self) -> Requirements:
        return Requirements(engines={"weak": self.weak}, labeled_pairs=True)

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence", "margin", "order_consistency"})

    def content_hash(self) -> str:
        """Hash of the prompts with the built-in questions."""
        pair = Pair.from_responses((), "a", "b")
        requests = [
            each.build_verdict_request(pair, "a_first") for phrasings in self._prompts().values() for each in phrasings
        ]
        return hashlib.sha256(repr(requests).encode()).hexdigest()[:16]

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        if not pairs:
            return []
        engine, prompts = inputs.engines["weak"], self._prompts()
        weights, problem = self._fit(engine, inputs.labeled_pairs)
        answers = ask_about_pairs(engine, prompts, pairs)
        return [_annotate(each, weights, problem) for each in answers]

    def _prompts(self) -> dict[str, list[CriterionPrompt]]:
        return {
            name: [CriterionPrompt(question=question, answer_format=self.answer_format) for question in questions]
            for name, questions in (self.criteria or DEFAULT_CRITERIA).items()
        }

    def _fit(self, engine: Engine, labeled_pairs: Sequence[Pair]) -> tuple[dict[str, float], str]:
        """The weight of each criterion, or why there are none. Raises `DataError` if there are too few human labels."""
        human = require_human_labels("criteria", labeled_pairs)
        prompts = self._prompts()
        labeled = sorted((pair for pair in labeled_pairs if pair.id in human), key=lambda pair: text_hash(pair.id))
        answers = ask_about_pairs(engine, prompts, labeled)
        usable = [each for each in answers if not each.error]
        if len(usable) < MIN_TRAINING_PAIRS:
            reason = next(each.error for each in answers if each.error)
            return {}, f"the model answered about {len(usable)} of {len(labeled)} labeled pairs: {reason}"
        rows = np.array([each.log_odds() for each in usable])
        targets = np.array([human[each.pair.id] == "a" for each in usable], dtype=np.float64)
        weights = fit_criterion_weights(rows, targets)
        return dict(zip(prompts, map(float, weights), strict=True)), ""


def fit_criterion_weights(rows: Any, targets: Any) -> Any:
    """The weights of log-odds, of shape (n, criteria), for targets in {0, 1}.

    One pseudo-pair per criterion, as decided as the average pair and with target 1/2, keeps the weights finite and unique.
    """
    scale = np.sqrt((rows**2).mean(axis=0))
    pseudo_pairs = np.diag(np.where(scale > 0, scale, 1.0))
    return fit_logistic_regression(np.vstack([rows, pseudo_pairs]), np.append(targets, [0.5] * rows.shape[1]))


def _annotate(answers: PairAnswers, weights: Mapping[str, float], problem: str) -> Annotation:
    pair_id, cost = answers.pair.id, answers.cost
    if answers.error or problem:
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note=answers.error or problem, cost=cost)
    margin = _combine(weights, answers.log_odds())
    by_order = [_combine(weights, answers.log_odds(order)) for order in BOTH_ORDERS]
    detail = {
        "criteria": {
            name: {
                "p_a": (1 + answer.preference) / 2,
                "weight": round(weights[name], 6),
                "order_inconsistent": answer.order_inconsistent,
            }
            for name, answer in answers.by_criterion.items()
        },
        "order_inconsistent": min(by_order) < 0 < max(by_order),
    }
    if margin == 0:
        return Annotation(pair_id=pair_id, p_a=None, status="abstained", note="tie", cost=cost, detail=detail)
    p_a = 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0
    return Annotation(pair_id=pair_id, p_a=p_a, margin=margin, cost=cost, detail=detail)


def _combine(weights: Mapping[str, float], log_odds: Sequence[float]) -> float:
    return math.fsum(weight * value for weight, value in zip(weights.values(), log_odds, strict=True))
