"""The weak model is asked which response is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.annotators._shared.pairwise_prompting import prompt_directly
from trimtab.annotators._shared.prompted_settings import PromptedSettings
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.types import Annotation, Pair


class Prompted(PromptedSettings):
    """Asks a model which response is better and reads its probabilities (RLAIF, Lee et al. 2024; the naive weak label of SEAM).

    A pair is shown in both orders and the probabilities are averaged; `orders: one` shows it once, in an order drawn by
    its texts, and `surer` takes the order in which the model is more confident, as SEAM's released code does. An exact tie
    abstains. With `reasoning_tokens` the model writes that much at most before it is asked for the verdict.
    `detail` has the probability of `a` in each order, and whether the orders contradict each other (`flipped`).
    """

    SYMMETRIC: ClassVar[bool] = True

    weak: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@weak"})
    )

    def engines(self) -> Mapping[str, Component]:
        return {"weak": self.weak}

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        return prompt_directly(
            given.engines["weak"], self.build_prompt(), pairs, self.presentation_order, self.max_reasoning_tokens
        )
