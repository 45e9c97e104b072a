"""What annotators that learn from the labeled pairs have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trimtab.errors import DataError
from trimtab.types import Annotation, Choice, Pair

MIN_TRAINING_PAIRS = 20


def require_human_labels(kind: str, labeled: Sequence[Pair]) -> dict[str, Choice]:
    """The human choices by pair id. Raises `DataError` where there are fewer than 20 of them or all are the same."""
    human: dict[str, Choice] = {pair.id: pair.human for pair in labeled if pair.human is not None}
    if len(human) < MIN_TRAINING_PAIRS:
        raise DataError(f"{kind}: {len(human)} labeled pairs to learn from, expected {MIN_TRAINING_PAIRS} or more")
    counts = Counter(human.values())
    if len(counts) < 2:
        raise DataError(
            f"{kind}: people chose {next(iter(counts))!r} in all {len(human)} labeled pairs, expected both choices; which "
            "response is `a` is drawn from the texts, so the labels cannot be right"
        )
    return human


def select_most_confident(labels: Sequence[Annotation], fraction: float) -> list[Annotation]:
    """So much of the labels that say something, the surest first; of equally sure ones by id."""
    told = [label for label in labels if label.choice is not None]
    ordered = sorted(told, key=lambda label: (-abs((label.p_a or 0.5) - 0.5), label.pair_id))
    return ordered[: round(fraction * len(ordered))]
