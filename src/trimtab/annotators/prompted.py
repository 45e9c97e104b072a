"""Prompts a model for the better response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.annotators._shared.pair_labeling import prompt_directly
from trimtab.annotators._shared.prompted_settings import PromptedSettings
from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.types import Annotation, Pair


class Prompted(PromptedSettings):
    """Prompts the weak model for the better response and reads its probabilities (RLAIF, Lee et al. 2024; SEAM's naive label).

    By default it presents a pair in both orders and averages the probabilities. `presentation_order: random` presents it
    once, in an order determined by the texts; `most_confident` uses the order in which the model is more confident, like
    SEAM's released code. Exact ties abstain. With `max_reasoning_tokens`, the model first generates at most that many
    tokens of reasoning. `detail` has the probability of `a` in each order, and whether the orders contradict each other
    (`order_inconsistent`).
    """

    SYMMETRIC: ClassVar[bool] = True

    weak: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@weak"})
    )

    def requirements(self) -> Requirements:
        return Requirements(engines={"weak": self.weak}, build_training_task=self.training_task)

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        return prompt_directly(
            inputs.engines["weak"], self.build_prompt(), pairs, self.presentation_order, self.max_reasoning_tokens
        )
