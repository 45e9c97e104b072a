"""A linear probe on a model's frozen hidden states, trained on the labeled pairs in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from trimtab.annotators._shared.linear_probe import LinearProbe, fit_probe, require_finite_features
from trimtab.annotators._shared.supervised import select_most_confident
from trimtab.core.annotator_inputs import AnnotatorInputs, FeatureSpec, LabelField, PairFeatures, Requirements
from trimtab.core.component import Component
from trimtab.core.human_labels import require_human_labels
from trimtab.types import Annotation, Choice, Cost, Pair


class Probe(Component):
    """Logistic regression on the standardized difference of both responses' hidden states.

    Features are, per layer, the hidden state of a response's last token and the mean over its tokens. The regularization
    strength is chosen by five-fold cross-validation on the labeled pairs. `margin` is the log-odds in nats. With
    `self_training_rounds` above 1, the probe labels the unlabeled pairs, keeps the most confident `self_training_fraction`
    of these labels, retrains on them together with the human labels, each weighted by |2p - 1|, and labels again.
    """

    SYMMETRIC: ClassVar[bool] = True

    model: str = Field(
        "@weak.base", description="model whose hidden states are read: by default the weak model before training"
    )
    layers: tuple[int, ...] = Field((), description="our default; empty: one slightly above half the depth")
    self_training_rounds: int = Field(1, ge=1, le=20, description="our default")
    self_training_fraction: float | None = Field(
        None, gt=0, le=1, description="null: 0.5; used with more than one round"
    )

    @model_validator(mode="after")
    def _reject_unused_fraction(self) -> Self:
        if self.self_training_fraction is not None and self.self_training_rounds == 1:
            raise ValueError(
                "self_training_fraction: has no effect with a single round; set self_training_rounds to 2 or more"
            )
        return self

    def requirements(self) -> Requirements:
        return Requirements(features=FeatureSpec(model=self.model, layers=self.layers))

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence", "margin"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        if not pairs:
            return []
        probe = self._train(inputs)
        detail = {"regularization_c": probe.regularization_c, "cv_log_loss": round(probe.cv_log_loss, 6)}
        return [_annotate(pair.id, inputs.features[pair.id], probe, detail) for pair in pairs]

    def _train(self, inputs: AnnotatorInputs) -> LinearProbe:
        human = require_human_labels("probe", inputs.labeled_pairs)
        labeled = [pair for pair in inputs.labeled_pairs if pair.id in human]
        rows = {pair.id: require_finite_features("probe", pair, inputs.features[pair.id]) for pair in labeled}
        groups = {pair.id: pair.prompt_id for pair in labeled}
        probe = _fit_sorted(rows, human, groups, {})
        for _ in range(self.self_training_rounds - 1):
            unlabeled = [key for key in inputs.pairs if key not in human]
            labels = [_annotate(key, inputs.features[key], probe, {}) for key in unlabeled]
            pseudo_labels = select_most_confident(labels, self.self_training_fraction or 0.5)
            new_rows = {label.pair_id: np.asarray(inputs.features[label.pair_id].values) for label in pseudo_labels}
            choices = {label.pair_id: label.choice for label in pseudo_labels if label.choice is not None}
            weights = {label.pair_id: abs(2 * (label.p_a or 0.5) - 1) for label in pseudo_labels}
            new_groups = {key: inputs.pairs[key].prompt_id for key in new_rows}
            probe = _fit_sorted(rows | new_rows, human | choices, groups | new_groups, weights)
        return probe


def _fit_sorted(
    rows: Mapping[str, Any], choices: Mapping[str, Choice], groups: Mapping[str, str], weights: Mapping[str, float]
) -> LinearProbe:
    """Sorts the pairs by id before fitting, so that the result does not depend on their order."""
    keys = sorted(rows)
    return fit_probe(
        np.stack([rows[key] for key in keys]),
        [choices[key] == "a" for key in keys],
        [groups[key] for key in keys],
        [weights.get(key, 1.0) for key in keys],
    )


def _annotate(pair_id: str, features: PairFeatures, probe: LinearProbe, detail: Mapping[str, Any]) -> Annotation:
    margin = float(probe.compute_log_odds(np.asarray(features.values)[None])[0])
    cost = Cost(prompt_tokens=features.tokens)
    if not math.isfinite(margin):
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note=f"log-odds {margin}", cost=cost)
    if margin == 0:
        return Annotation(pair_id=pair_id, p_a=None, status="abstained", note="tie", cost=cost)
    p_a = 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0
    return Annotation(pair_id=pair_id, p_a=p_a, margin=margin, cost=cost, detail=detail)
