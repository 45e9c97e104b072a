"""Settings of probability calibration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trimtab.core.component import Settings


class Calibration(Settings):
    """How an arm's probabilities are calibrated (`trimtab.stats.calibration`)."""

    method: Literal["temperature", "platt", "isotonic"] = Field(
        "temperature", description="our default; temperature: Guo et al. 2017; platt: Platt 1999"
    )
    folds: int = Field(
        5, ge=2, le=50, description="our default; cross-fitting folds, each with its own trained annotator"
    )
