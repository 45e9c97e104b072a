"""Iterative alignment: rounds in which an arm's student writes the responses that it is aligned on next."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from trimtab.core.component import Component, ComponentField, Settings, SourceField, get_kind
from trimtab.core.interfaces import Scorer, Source
from trimtab.data.pair_selection import MAX_RESPONSES, SelectionRule
from trimtab.data.parsing.prompt_rows import PromptSource

MAX_ROUNDS = 20


class Rounds(Settings):
    """Round 1 is the study without `rounds`. In each later round, the student of the round before samples responses, two per
    prompt become a pair, the arm's annotator labels the pairs, and DPO continues from that student, which is its reference.
    """

    count: int = Field(ge=2, le=MAX_ROUNDS, description="the number of rounds, with round 1")
    arms: tuple[str, ...] = Field(min_length=1, description="the arms that continue after round 1")
    prompts: SourceField | None = Field(
        None,
        description="our default, null: the prompts of the unlabeled pairs; a source of prompts, of which those of labeled and "
        "of test pairs are left out",
    )
    num_prompts: int | None = Field(
        None, ge=1, description="our default, null: all; prompts of each round, a random sample of its own"
    )
    num_responses: int = Field(4, ge=2, le=MAX_RESPONSES, description="our default; responses to each prompt")
    temperature: float = Field(1.0, gt=0, description="our default; sampling of the responses")
    max_new_tokens: int | None = Field(None, ge=1, description="our default, null: that of generation")
    selection: SelectionRule = Field(
        "random",
        description="our default; which two responses become a pair: random, most_different (fewest common words), or "
        "best_worst by scorer",
    )
    scorer: Annotated[Component, ComponentField("scorers")] | None = Field(
        None,
        description="our default, null: none; the scorer of best_worst. Do not evaluate with it, since it selects responses",
    )
    human_labels: SourceField | None = Field(
        None,
        description="our default, null: none; pairs of later rounds that were labeled by hand, to measure the annotator's "
        "agreement on new responses",
    )

    @field_validator("prompts")
    @classmethod
    def _require_prompts(cls, source: Component | None) -> Component | None:
        if source is not None and not isinstance(source, PromptSource | Source):
            raise ValueError(f"{get_kind(source)} is not a source of prompts")
        return source

    @field_validator("scorer")
    @classmethod
    def _require_scorer(cls, scorer: Component | None) -> Component | None:
        if scorer is not None and get_kind(scorer) == "study_reward_model":
            raise ValueError("study_reward_model is trained for evaluation only; use reward_model")
        if scorer is not None and not isinstance(scorer, Scorer):
            raise ValueError(f"{type(scorer).__name__} is not a scorer (it needs `score` and `content_hash`)")
        return scorer

    @model_validator(mode="after")
    def _validate_selection(self) -> Self:
        if self.selection == "best_worst" and self.scorer is None:
            raise ValueError("scorer: required, since selection is best_worst")
        if self.selection != "best_worst" and self.scorer is not None:
            raise ValueError(f"scorer: unused, since selection is {self.selection}")
        return self


def validate_round_arms(rounds: Rounds, arms: Collection[str], untrained: Collection[str]) -> None:
    """Raises `ValueError` if an arm of the rounds is not one of `arms`, is named twice, or is `untrained`."""
    for name in rounds.arms:
        if name not in arms:
            raise ValueError(f"rounds.arms: unknown arm {name!r} (expected one of: {', '.join(arms)})")
        if name in untrained:
            raise ValueError(f"rounds.arms: {name} has labels_only: true, so it has no student")
        if rounds.arms.count(name) > 1:
            raise ValueError(f"rounds.arms: {name} is named twice")


def list_round_sources(rounds: Rounds) -> dict[str, Component]:
    """The sources of the rounds by setting."""
    sources = {"prompts": rounds.prompts, "human_labels": rounds.human_labels}
    return {name: source for name, source in sources.items() if source is not None}
