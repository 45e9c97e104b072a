"""Criteria: asks a model about each criterion separately, and combines the answers with weights fitted on human labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.prompts.comparison import BOTH_ORDERS
from trimtab.prompts.criteria_settings import CriteriaSettings
from trimtab.prompts.criterion_answers import PairAnswers, ask_about_pairs
from trimtab.prompts.criterion_weights import CriterionWeights, fit_criteria, to_probability
from trimtab.types import Annotation, Pair


class Criteria(CriteriaSettings):
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

    def requirements(self) -> Requirements:
        return Requirements(engines={"weak": self.weak}, labeled_pairs=True)

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence", "margin", "order_consistency"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        if not pairs:
            return []
        engine, prompts = inputs.engines["weak"], self.build_prompts()
        weights = fit_criteria("criteria", engine, prompts, inputs.labeled_pairs)
        answers = ask_about_pairs(engine, prompts, pairs)
        return [_annotate(each, weights) for each in answers]


def _annotate(answers: PairAnswers, weights: CriterionWeights) -> Annotation:
    pair_id, cost = answers.pair.id, answers.cost
    if note := answers.error or weights.problem:
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note=note, cost=cost)
    margin = weights.combine(answers)
    by_order = [weights.combine(answers, order) for order in BOTH_ORDERS]
    detail = {
        "criteria": {
            name: {
                "p_a": (1 + answer.preference) / 2,
                "weight": round(weights.by_criterion[name], 6),
                "order_inconsistent": answer.order_inconsistent,
            }
            for name, answer in answers.by_criterion.items()
        },
        "order_inconsistent": min(by_order) < 0 < max(by_order),
    }
    if margin == 0:
        return Annotation(pair_id=pair_id, p_a=None, status="abstained", note="tie", cost=cost, detail=detail)
    return Annotation(pair_id=pair_id, p_a=to_probability(margin), margin=margin, cost=cost, detail=detail)
