"""Sampling settings for generation."""

from __future__ import annotations

from pydantic import Field

from trimtab.core.component import Settings


class Sampling(Settings):
    """How responses are sampled. Temperature 0 is greedy decoding; Tao & Li (2025) sample at 0.7."""

    temperature: float = Field(0.7, ge=0, description="Tao & Li (2025); 0: greedy decoding")
    max_new_tokens: int = Field(256, ge=1, description="Tao & Li (2025); longer responses are truncated")
    seed: int = Field(0, description="our default; the seed and the prompt ID determine all sampling")
