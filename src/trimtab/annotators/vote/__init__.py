"""The vote of several arms, by heads, by probabilities, or by how often each of them seems to be right."""

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
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component
from trimtab.types import Annotation, Pair


class Vote(Component):
    """Lets the arms in `arms` vote on each pair.

    By `majority`, the probability is the share of the votes that are for `a`, and abstaining is no vote. By `mean`, it is the
    mean of the arms' probabilities, as in `ensemble`. By `dawid_skene` (Dawid & Skene 1979), each arm's accuracy is told from
    how the arms agree over their whole set, and the probability is that of `a` being the better when such arms vote so; it
    takes three arms that do not err together, and `detail` has the accuracies. Where an arm failed there is no label, and a
    tie abstains. `cost` is what the arms' labels took together.
    """

    SYMMETRIC: ClassVar[bool] = True

    arms: ArmNames
    by: Literal["majority", "mean", "dawid_skene"] = "majority"

    @model_validator(mode="after")
    def _require_three_arms(self) -> Self:
        if self.by == "dawid_skene" and len(self.arms) < 3:
            raise ValueError(
                f"by: dawid_skene needs three arms or more, since two tell nothing of who errs; got {self.arms}"
            )
        return self

    def logprob_models(self) -> Sequence[str]:
        return ()

    def required_arms(self) -> Sequence[str]:
        return self.arms

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        if not pairs:
            return []
        combine, detail = self._build_rule(given)
        return [
            combine_labels({arm: given.labels[arm][pair.id] for arm in self.arms}, combine, detail) for pair in pairs
        ]

    def _build_rule(self, given: AnnotatorInputs) -> tuple[CombineRule, Mapping[str, Any]]:
        """How votes become a probability, and what every label tells of it."""
        if self.by != "dawid_skene":
            return compute_vote_share if self.by == "majority" else compute_mean_probability, {}
        tables = [given.labels[arm] for arm in self.arms]
        accuracy = estimate_accuracies(tuple(to_vote(table[key]) for table in tables) for key in tables[0])
        return (
            lambda labels: compute_p_a([to_vote(label) for label in labels], accuracy),
            {"accuracy": dict(zip(self.arms, accuracy, strict=True))},
        )
