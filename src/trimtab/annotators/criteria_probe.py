"""A linear probe per criterion on a weak model's hidden states, trained on a strong model's answers about the labeled pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from trimtab.annotators._shared.linear_probe import LinearProbe, fit_probe, require_finite_features
from trimtab.core.annotator_inputs import AnnotatorInputs, FeatureSpec, LabelField, PairFeatures, Requirements
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.prompts.criteria_settings import CriteriaSettings
from trimtab.prompts.criterion_weights import (
    CriterionWeights,
    LabeledAnswers,
    ask_about_labeled_pairs,
    fit_criterion_weights,
    to_probability,
)
from trimtab.types import Annotation, Cost, Pair


class CriteriaProbe(CriteriaSettings):
    """Learns a strong model's answers about each criterion by a linear probe, and combines the probes by logistic regression.

    For models that are too small to answer questions. The strong model is asked about the labeled pairs only, as by
    `criteria`. For each criterion, a probe on the weak model's hidden states, as of `probe`, learns which response the strong
    model prefers; an answer with the probability p has the weight |2p - 1|. The weights of the probes' log-odds are fitted to
    the human labels, as those of `criteria`, on log-odds of probes that were fitted without the pair's fold. `margin` is the
    weighted sum in nats, `p_a` its sigmoid. `detail` has each criterion's probability and weight, and how many of the labeled
    pairs with an answer (`held_out_pairs`) a probe that was fitted without them labels as the strong model does
    (`held_out_matches`).
    """

    SYMMETRIC: ClassVar[bool] = True

    model: str = Field(
        "@weak.base", description="model whose hidden states are read: by default the weak model before training"
    )
    layers: tuple[int, ...] = Field((), description="our default; empty: one slightly above half the depth")
    strong: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@student"})
    )

    def requirements(self) -> Requirements:
        features = FeatureSpec(model=self.model, layers=self.layers)
        return Requirements(engines={"strong": self.strong}, features=features, labeled_pairs=True)

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence", "margin"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        if not pairs:
            return []
        answers = ask_about_labeled_pairs(
            "criteria_probe", inputs.engines["strong"], self.build_prompts(), inputs.labeled_pairs
        )
        probes = _fit_probes(answers, inputs.features)
        return [_annotate(pair.id, inputs.features[pair.id], probes) for pair in pairs]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CriterionProbes:
    """A probe per criterion, how much its log-odds count, and the labeled pairs with an answer, and those that probes match."""

    probes: Mapping[str, LinearProbe] = field(default_factory=dict)
    weights: CriterionWeights
    held_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def _fit_probes(answers: LabeledAnswers, features: Mapping[str, PairFeatures]) -> _CriterionProbes:
    if answers.problem:
        return _CriterionProbes(weights=CriterionWeights(by_criterion={}, problem=answers.problem))
    names = list(answers.usable[0].by_criterion)
    rows = np.stack(
        [require_finite_features("criteria_probe", each.pair, features[each.pair.id]) for each in answers.usable]
    )
    preferences = np.array([[each.by_criterion[name].preference for name in names] for each in answers.usable])
    for name, column in zip(names, preferences.T, strict=True):
        if not (column > 0).any() or not (column < 0).any():
            problem = f"the strong model does not prefer both a and b by {name}, on {len(column)} labeled pairs"
            return _CriterionProbes(weights=CriterionWeights(by_criterion={}, problem=problem))
    groups = [each.pair.prompt_id for each in answers.usable]
    probes = {name: _fit_to_answers(rows, column, groups) for name, column in zip(names, preferences.T, strict=True)}
    held_out = np.column_stack([each.held_out_log_odds for each in probes.values()])
    weights = fit_criterion_weights(held_out, answers.targets)
    return _CriterionProbes(
        probes={name: each.probe for name, each in probes.items()},
        weights=CriterionWeights(by_criterion=dict(zip(names, map(float, weights), strict=True))),
        held_out={
            name: {
                "held_out_matches": int((predicted * column > 0).sum()),
                "held_out_pairs": int((predicted * column != 0).sum()),
            }
            for name, predicted, column in zip(names, held_out.T, preferences.T, strict=True)
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FittedProbe:
    """A probe, and the log-odds of all labeled pairs by probes that were not fitted to them."""

    probe: LinearProbe
    held_out_log_odds: Any


def _fit_to_answers(rows: Any, preferences: Any, groups: Sequence[str]) -> _FittedProbe:
    """A probe of which response is preferred. It is not fitted to rows with a preference of 0, which say nothing."""
    decided = np.flatnonzero(preferences)
    probe = fit_probe(
        rows[decided],
        list(preferences[decided] > 0),
        [groups[int(index)] for index in decided],
        list(np.abs(preferences[decided])),
    )
    held_out = probe.compute_log_odds(rows)
    held_out[decided] = probe.held_out_log_odds
    return _FittedProbe(probe=probe, held_out_log_odds=held_out)


def _annotate(pair_id: str, features: PairFeatures, fitted: _CriterionProbes) -> Annotation:
    cost = Cost(prompt_tokens=features.tokens)
    if fitted.weights.problem:
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note=fitted.weights.problem, cost=cost)
    row = np.asarray(features.values)[None]
    log_odds = {name: float(probe.compute_log_odds(row)[0]) for name, probe in fitted.probes.items()}
    margin = fitted.weights.combine_log_odds(list(log_odds.values()))
    if not math.isfinite(margin):
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note=f"log-odds {margin}", cost=cost)
    detail = {
        "criteria": {
            name: {
                "p_a": to_probability(value),
                "weight": round(fitted.weights.by_criterion[name], 6),
                **fitted.held_out[name],
            }
            for name, value in log_odds.items()
        }
    }
    if margin == 0:
        return Annotation(pair_id=pair_id, p_a=None, status="abstained", note="tie", cost=cost, detail=detail)
    return Annotation(pair_id=pair_id, p_a=to_probability(margin), margin=margin, cost=cost, detail=detail)
