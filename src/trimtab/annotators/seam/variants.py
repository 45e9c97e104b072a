"""What SEAM's paper and its released code do: one setting each, with the values of both variants.

The docstring of `Seam` states for each value whether it is that of the paper, of the code, or our addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trimtab.annotators.seam.tree import Labeler, NodeSelection

EdgeWeights = Literal["conditional", "static"]
PrincipleScoring = Literal["full_name", "first_token"]
AnswerScoring = Literal["sum", "mean_with_eos"]
Explanations = Literal["single", "per_response"]
SeamPresentationOrder = Literal["both", "single"]
FirstResponse = Literal["random", "strong_pick"]
Variant = Literal["paper", "released_code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSettings:
    """The resolved settings."""

    edge_weights: EdgeWeights
    principle_scoring: PrincipleScoring
    answer_scoring: AnswerScoring
    explanations: Explanations
    presentation_order: SeamPresentationOrder
    first_response: FirstResponse
    early_stop: bool
    node_selection: NodeSelection
    helpful_only_labeler: Labeler
    allow_reused_principles: bool


VARIANTS: dict[Variant, VariantSettings] = {
    "paper": VariantSettings(
        edge_weights="conditional",
        principle_scoring="first_token",
        answer_scoring="sum",
        explanations="single",
        presentation_order="single",
        first_response="random",
        early_stop=True,
        node_selection="deepest_gain",
        helpful_only_labeler="weak",
        allow_reused_principles=True,
    ),
    "released_code": VariantSettings(
        edge_weights="static",
        principle_scoring="first_token",
        answer_scoring="mean_with_eos",
        explanations="per_response",
        presentation_order="single",
        first_response="strong_pick",
        early_stop=False,
        node_selection="unbroken_gain",
        helpful_only_labeler="strong",
        allow_reused_principles=False,
    ),
}
