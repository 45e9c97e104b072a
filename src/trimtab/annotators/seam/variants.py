"""Where SEAM's paper and its released code part: one switch each, and what each of the two sets them to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trimtab.annotators.seam.tree import Labeler

EdgeWeights = Literal["conditional", "once"]
PrincipleScoring = Literal["full_name", "first_token"]
AnswerScoring = Literal["summed", "mean_with_end"]
Explanations = Literal["one_sided", "two_sided"]
SeamPresentationOrder = Literal["both", "one"]
FirstResponse = Literal["drawn", "strong_first"]
Variant = Literal["paper", "published_code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSettings:
    """The switches, all set. What each means stands with the settings of `Seam`."""

    edge_weights: EdgeWeights
    principle_scoring: PrincipleScoring
    answer_scoring: AnswerScoring
    explanations: Explanations
    presentation_order: SeamPresentationOrder
    first_response: FirstResponse
    early_stop: bool
    helpful_only_labeler: Labeler
    allow_reused_principles: bool


VARIANTS: dict[Variant, VariantSettings] = {
    "paper": VariantSettings(
        edge_weights="conditional",
        principle_scoring="full_name",
        answer_scoring="summed",
        explanations="one_sided",
        presentation_order="both",
        first_response="drawn",
        early_stop=True,
        helpful_only_labeler="weak",
        allow_reused_principles=True,
    ),
    "published_code": VariantSettings(
        edge_weights="once",
        principle_scoring="first_token",
        answer_scoring="mean_with_end",
        explanations="two_sided",
        presentation_order="one",
        first_response="strong_first",
        early_stop=False,
        helpful_only_labeler="strong",
        allow_reused_principles=False,
    ),
}
