"""The strong model is asked which response is better: labels without a weak model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.annotators._shared.pairwise_prompting import prompt_directly
from trimtab.annotators._shared.prompted_settings import PromptedSettings
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import ENGINE_FIELD, Component, build_component
from trimtab.types import Annotation, Pair


class SelfReward(PromptedSettings):
    """Asks the strong model itself, in the words in which `prompted` asks the weak one (SEAM's Self-Reward baseline).

    The settings and `detail` are those of `prompted`.
    """

    SYMMETRIC: ClassVar[bool] = True

    strong: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@student"})
    )

    def engines(self) -> Mapping[str, Component]:
        return {"strong": self.strong}

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        return prompt_directly(
            given.engines["strong"], self.build_prompt(), pairs, self.presentation_order, self.max_reasoning_tokens
        )
