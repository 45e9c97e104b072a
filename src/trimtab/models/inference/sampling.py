"""How answers are drawn."""

from __future__ import annotations

from pydantic import Field

from trimtab.core.component import Settings


class Sampling(Settings):
    """Temperature 0 takes the likeliest token each time; the paper samples at 0.7."""

    temperature: float = Field(0.7, ge=0, description="paper; 0: the likeliest token each time")
    max_new_tokens: int = Field(256, ge=1, description="paper; an answer is cut there")
    seed: int = Field(0, description="ours; with the prompt it decides every draw")
