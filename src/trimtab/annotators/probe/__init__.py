"""A linear probe on a model's frozen layers, trained on the labeled pairs in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from trimtab.annotators._shared.supervised import require_human_labels, select_most_confident
from trimtab.annotators.probe.logistic import LinearProbe, fit_probe
from trimtab.core.annotator_inputs import AnnotatorInputs, FeatureSpec, PairFeatures
from trimtab.core.component import Component
from trimtab.errors import DataError
from trimtab.types import Annotation, Choice, Cost, Pair


class Probe(Component):
    """Logistic regression on the difference of what a model's layers hold of both responses, standardized.

    Of each layer the state of a response's last token and the mean over its tokens are read; the penalty is chosen by
    five-fold cross-validation on the labeled pairs. `margin` is in nats of log-odds. With `rounds` above 1 the probe labels
    the unlabeled pairs, keeps the surest `fraction` of these labels, learns from them beside the human ones, each
    weighted by 2p - 1, and labels again.
    """

    SYMMETRIC: ClassVar[bool] = True

    model: str = Field(
        "@weak.base", description="whose layers: the study's weak model as published, or any by its name"
    )
    layers: tuple[int, ...] = Field((), description="ours; none: one a little above half of the depth")
    self_training_rounds: int = Field(1, ge=1, le=20, description="ours")
    self_training_fraction: float | None = Field(
        None, gt=0, le=1, description="null: 0.5; read where there are several rounds"
    )

    @model_validator(mode="after")
    def _reject_unused_fraction(self) -> Self:
        if self.self_training_fraction is not None and self.self_training_rounds == 1:
            raise ValueError("fraction: it says what is kept between rounds, and there is one round; set rounds: 2")
        return self

    def logprob_models(self) -> Sequence[str]:
        return ()

    def required_arms(self) -> Sequence[str]:
        return ()

    def features(self) -> FeatureSpec:
        return FeatureSpec(model=self.model, layers=self.layers)

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        if not pairs:
            return []
        probe = self._train(given)
        detail = {"regularization_c": probe.regularization_c, "cv_log_loss": round(probe.cv_log_loss, 6)}
        return [_label(pair.id, given.features[pair.id], probe, detail) for pair in pairs]

    def _train(self, given: AnnotatorInputs) -> LinearProbe:
        human = require_human_labels("probe", given.labeled_pairs)
        rows = {
            pair.id: _require_finite(pair, given.features[pair.id]) for pair in given.labeled_pairs if pair.id in human
        }
        groups = {pair.id: pair.prompt_id for pair in given.labeled_pairs if pair.id in human}
        probe = _fit_sorted(rows, human, groups, {})
        for _ in range(self.self_training_rounds - 1):
            pool = [key for key in given.pairs if key not in human]
            labels = [_label(key, given.features[key], probe, {}) for key in pool]
            guessed = select_most_confident(labels, self.self_training_fraction or 0.5)
            more = {each.pair_id: np.asarray(given.features[each.pair_id].values) for each in guessed}
            choices = {each.pair_id: each.choice for each in guessed if each.choice is not None}
            doubt = {each.pair_id: abs(2 * (each.p_a or 0.5) - 1) for each in guessed}
            named = {key: given.pairs[key].prompt_id for key in more}
            probe = _fit_sorted(rows | more, human | choices, groups | named, doubt)
        return probe


def _fit_sorted(
    rows: Mapping[str, Any], choices: Mapping[str, Choice], groups: Mapping[str, str], weights: Mapping[str, float]
) -> LinearProbe:
    """In the order of the ids, so that the order of the pairs does not matter to the last bit."""
    keys = sorted(rows)
    return fit_probe(
        np.stack([rows[key] for key in keys]),
        [choices[key] == "a" for key in keys],
        [groups[key] for key in keys],
        [weights.get(key, 1.0) for key in keys],
    )


def _require_finite(pair: Pair, row: PairFeatures) -> Any:
    values = np.asarray(row.values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"probe: the features of labeled pair {pair.id} are not finite, which no sound weights give; "
            "look for nan in the model's weights, or set dtype: float32"
        )
    return values


def _label(key: str, row: PairFeatures, probe: LinearProbe, detail: Mapping[str, Any]) -> Annotation:
    margin = float(probe.compute_log_odds(np.asarray(row.values)[None])[0])
    cost = Cost(prompt_tokens=row.tokens)
    if not math.isfinite(margin):
        return Annotation(pair_id=key, p_a=None, status="failed", note=f"log-odds {margin}", cost=cost)
    if margin == 0:
        return Annotation(pair_id=key, p_a=None, status="abstained", note="tie", cost=cost)
    p_a = 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0
    return Annotation(pair_id=key, p_a=p_a, margin=margin, cost=cost, detail=detail)
