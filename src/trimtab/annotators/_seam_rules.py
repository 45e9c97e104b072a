"""Where SEAM's paper and its released code part: one switch each, and what each of the two sets them to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trimtab.annotators._seam_tree import Decider

EdgeWeights = Literal["conditional", "once"]
PrincipleScores = Literal["full_name", "first_token"]
AnswerScores = Literal["summed", "mean_with_end"]
Thoughts = Literal["one_sided", "two_sided"]
Orders = Literal["both", "one"]
Orientation = Literal["drawn", "strong_first"]
Mode = Literal["paper", "published_code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The switches, all set. What each means stands with the settings of `Seam`."""

    edge_weights: EdgeWeights
    principle_scores: PrincipleScores
    answer_scores: AnswerScores
    thoughts: Thoughts
    orders: Orders
    orientation: Orientation
    early_stop: bool
    helpful_chains: Decider
    reuse_rejected: bool


RULES: dict[Mode, Rules] = {
    "paper": Rules(
        edge_weights="conditional",
        principle_scores="full_name",
        answer_scores="summed",
        thoughts="one_sided",
        orders="both",
        orientation="drawn",
        early_stop=True,
        helpful_chains="weak",
        reuse_rejected=True,
    ),
    "published_code": Rules(
        edge_weights="once",
        principle_scores="first_token",
        answer_scores="mean_with_end",
        thoughts="two_sided",
        orders="one",
        orientation="strong_first",
        early_stop=False,
        helpful_chains="strong",
        reuse_rejected=False,
    ),
}
