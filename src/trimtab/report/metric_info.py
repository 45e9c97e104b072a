"""How one metric is displayed and defined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BetterDirection = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """How a metric is displayed. `count_noun` is the plural noun for what `n` counts, `missing_text` describes the ones that
    have no value. `description` is one sentence for readers, `digits` the decimals of values below ten."""

    name: str
    label: str
    better: BetterDirection
    count_noun: str
    description: str
    unit: str = ""
    digits: int = 3
    missing_text: str = "failed"
