"""The settings of what judges compare."""

from __future__ import annotations

from pydantic import Field

from trimtab.core.component import Settings


class Judging(Settings):
    """What the judges compare."""

    baseline: str | None = Field(
        None,
        description="our default, null: sft, else base; row that every other row is compared with (Tao & Li compare weak with "
        "human labels, SEAM with SFT)",
    )
    num_prompts: int | None = Field(
        None,
        ge=0,
        description="our default, null: all (Tao & Li: 100; SEAM: 1,000); answered prompts that each judge compares, sampled "
        "by their hashes; 0: none",
    )
    human_agreement_pairs: int = Field(
        100,
        ge=0,
        description="our default; test pairs used to measure each judge's agreement with human labels; 0: none",
    )
    match_mismatch_pairs: int = Field(
        0,
        ge=0,
        description="our default, 0: none (Tao & Li, table 5: 100); unlabeled pairs that each judge compares: this many on "
        "which the weak label matches the human label, and as many on which it does not",
    )
