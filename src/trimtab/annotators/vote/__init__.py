"""Combines the labels of several arms by majority, mean probability, or estimated accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from trimtab.annotators._shared.aggregation import (
    ArmNames,
    CombineRule,
    combine_labels,
    compute_mean_probability,
    compute_vote_share,
    to_vote,
)
from trimtab.annotators.vote.dawid_skene import compute_p_a, estimate_accuracies
from trimtab.core.annotator_inputs import AnnotatorInputs, LabelField, Requirements
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class Vote(Component):
    """Lets the `arms` vote on each pair.

    `by: majority`: the probability is the share of votes for `a`; an abstention is not a vote. `mean`: the mean of the arms'
    probabilities, as in `ensemble`. `dawid_skene` (Dawid & Skene 1979): estimates each arm's accuracy from how the arms agree
    over their whole set, and computes the posterior probability of `a` given the votes; it needs at least three arms whose
    errors are independent, and `detail` has the accuracies. The label fails if an arm failed; ties abstain. `cost` is the
    total cost of the arms' labels.
    """

    SYMMETRIC: ClassVar[bool] = True

    arms: ArmNames
    by: Literal["majority", "mean", "dawid_skene"] = "majority"

    @model_validator(mode="after")
    def _require_three_arms(self) -> Self:
        if self.by == "dawid_skene" and len(self.arms) < 3:
            raise ValueError(
                f"by: dawid_skene needs at least three arms, since two do not show which one is wrong; got {self.arms}"
            )
        return self

    def requirements(self) -> Requirements:
        return Requirements(arms=self.arms)

    def label_fields(self) -> frozenset[LabelField]:
        return frozenset({"confidence"})

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        if not pairs:
            return []
        combine, detail = self._build_rule(inputs)
        return [
            combine_labels({arm: inputs.labels[arm][pair.id] for arm in self.arms}, combine, detail) for pair in pairs
        ]

    def _build_rule(self, inputs: AnnotatorInputs) -> tuple[CombineRule, Mapping[str, Any]]:
        """The function from votes to a probability, and the details it adds to every label."""
        if self.by != "dawid_skene":
            return compute_vote_share if self.by == "majority" else compute_mean_probability, {}
        tables = [inputs.labels[arm] for arm in self.arms]
        accuracies = estimate_accuracies(tuple(to_vote(table[key]) for table in tables) for key in tables[0])
        return (
            lambda labels: compute_p_a([to_vote(label) for label in labels], accuracies),
            {"accuracy": dict(zip(self.arms, accuracies, strict=True))},
        )
