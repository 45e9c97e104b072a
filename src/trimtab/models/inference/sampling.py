"""Sampling settings for generation."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from trimtab.core.component import Settings
from trimtab.models.inference.vllm_options import VllmOptions


class Sampling(Settings):
    """How responses are sampled. Temperature 0 is greedy decoding; Tao & Li (2025) sample at 0.7."""

    temperature: float = Field(0.7, ge=0, description="paper; 0: greedy decoding")
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="our default, 1 (the paper does not state it): sample from all tokens; below 1: from the fewest most "
        "probable tokens that have this probability together",
    )
    stop: tuple[str, ...] = Field(
        (),
        description="our default, none (the paper does not state any): a response ends before the first of these texts, such "
        'as "\\n\\nHuman:"',
    )
    max_new_tokens: int = Field(256, ge=1, description="paper; longer responses are truncated")
    seed: int = Field(0, description="our default; the seed and the prompt ID determine all sampling")

    vllm: VllmOptions | None = Field(
        None,
        description="our default, null: transformers; vLLM generates the students' responses, and those of rounds, with these "
        "options; {}: its defaults",
    )

    @model_validator(mode="after")
    def _reject_unused_top_p(self) -> Self:
        if self.temperature == 0 and self.top_p < 1:
            raise ValueError("top_p: unused, since temperature: 0 always takes the most probable token")
        return self

    @model_validator(mode="after")
    def _require_stop_texts(self) -> Self:
        if any(not text.strip() for text in self.stop):
            raise ValueError("stop: expected texts with more than white space")
        return self
