"""Prompts the strong model itself for the better response: labels without a weak model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.annotators._shared.pair_labeling import prompt_directly
from trimtab.annotators._shared.prompted_settings import PromptedSettings
from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.types import Annotation, Pair


class SelfReward(PromptedSettings):
    """Prompts the strong model itself (SEAM's Self-Reward baseline), with the prompt, settings and `detail` of `prompted`."""

    SYMMETRIC: ClassVar[bool] = True

    strong: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@student"})
    )

    def requirements(self) -> Requirements:
        return Requirements(engines={"strong": self.strong}, build_training_task=self.training_task)

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        return prompt_directly(
            inputs.engines["strong"], self.build_prompt(), pairs, self.presentation_order, self.max_reasoning_tokens
        )
