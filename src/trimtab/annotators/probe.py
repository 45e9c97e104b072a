"""A linear probe on a model's frozen layers, trained on the labeled pairs in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from trimtab.annotators._learning import checked_to_learn, surest
from trimtab.annotators._probe import Linear, fit
from trimtab.components import Component
from trimtab.errors import DataError
from trimtab.protocols import FeatureRow, Features, Given
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
    rounds: int = Field(1, ge=1, le=20, description="ours")
    fraction: float | None = Field(None, gt=0, le=1, description="null: 0.5; read where there are several rounds")

    @model_validator(mode="after")
    def _read_where_it_matters(self) -> Self:
        if self.fraction is not None and self.rounds == 1:
            raise ValueError("fraction: it says what is kept between rounds, and there is one round; set rounds: 2")
        return self

    def models(self) -> Sequence[str]:
        return ()

    def arms(self) -> Sequence[str]:
        return ()

    def features(self) -> Features:
        return Features(model=self.model, layers=self.layers)

    def annotate(self, pairs: Sequence[Pair], given: Given) -> list[Annotation]:
        if not pairs:
            return []
        probe = self._learned(given)
        detail = {"penalty": probe.penalty, "held_out_log_loss": round(probe.log_loss, 6)}
        return [_label(pair.id, given.features[pair.id], probe, detail) for pair in pairs]

    def _learned(self, given: Given) -> Linear:
        human = checked_to_learn("probe", given.labeled)
        rows = {pair.id: _finite(pair, given.features[pair.id]) for pair in given.labeled if pair.id in human}
        groups = {pair.id: pair.prompt_id for pair in given.labeled if pair.id in human}
        probe = _fitted(rows, human, groups, {})
        for _ in range(self.rounds - 1):
            pool = [key for key in given.pairs if key not in human]
            labels = [_label(key, given.features[key], probe, {}) for key in pool]
            guessed = surest(labels, self.fraction or 0.5)
            more = {each.pair_id: np.asarray(given.features[each.pair_id].values) for each in guessed}
            choices = {each.pair_id: each.choice for each in guessed if each.choice is not None}
            doubt = {each.pair_id: abs(2 * (each.p_a or 0.5) - 1) for each in guessed}
            named = {key: given.pairs[key].prompt_id for key in more}
            probe = _fitted(rows | more, human | choices, groups | named, doubt)
        return probe


def _fitted(
    rows: Mapping[str, Any], choices: Mapping[str, Choice], groups: Mapping[str, str], weights: Mapping[str, float]
) -> Linear:
    """In the order of the ids, so that the order of the pairs does not matter to the last bit."""
    keys = sorted(rows)
    return fit(
        np.stack([rows[key] for key in keys]),
        [choices[key] == "a" for key in keys],
        [groups[key] for key in keys],
        [weights.get(key, 1.0) for key in keys],
    )


def _finite(pair: Pair, row: FeatureRow) -> Any:
    values = np.asarray(row.values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            f"probe: the features of labeled pair {pair.id} are not finite, which no sound weights give; "
            "look for nan in the model's weights, or set dtype: float32"
        )
    return values


def _label(key: str, row: FeatureRow, probe: Linear, detail: Mapping[str, Any]) -> Annotation:
    margin = float(probe.log_odds(np.asarray(row.values)[None])[0])
    cost = Cost(prompt_tokens=row.tokens)
    if not math.isfinite(margin):
        return Annotation(pair_id=key, p_a=None, status="failed", note=f"log-odds {margin}", cost=cost)
    if margin == 0:
        return Annotation(pair_id=key, p_a=None, status="abstained", note="tie", cost=cost)
    p_a = 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0
    return Annotation(pair_id=key, p_a=p_a, margin=margin, cost=cost, detail=detail)
