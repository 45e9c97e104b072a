"""Human labels that something is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trimtab.errors import DataError
from trimtab.types import Choice, Pair

MIN_TRAINING_PAIRS = 20


def require_human_labels(kind: str, labeled_pairs: Sequence[Pair]) -> dict[str, Choice]:
    """The human choices by pair id. Raises `DataError` if there are fewer than 20 or if all are the same."""
    choices: dict[str, Choice] = {pair.id: pair.human for pair in labeled_pairs if pair.human is not None}
    if len(choices) < MIN_TRAINING_PAIRS:
        raise DataError(f"{kind}: {len(choices)} labeled pairs to train on, expected at least {MIN_TRAINING_PAIRS}")
    counts = Counter(choices.values())
    if len(counts) < 2:
        raise DataError(
            f"{kind}: the human label is {next(iter(counts))!r} for all {len(choices)} labeled pairs, expected both choices; "
            "which response is `a` is random, so these labels cannot be right"
        )
    return choices
