"""Histogram of label probabilities, with the share of human labels in each bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.report.model import HistogramBin
from trimtab.stats import proportion
from trimtab.types import Choice


def build_label_histogram(
    p_a: Mapping[str, float | None], human: Mapping[str, Choice | None], *, bins: int = 10
) -> tuple[HistogramBin, ...]:
    """`bins` bins of equal width over [0, 1], from values by pair id. Labels without a probability are left out."""
    members: list[list[tuple[str, float]]] = [[] for _ in range(bins)]
    for pair_id, p in p_a.items():
        if p is not None:
            members[min(int(p * bins), bins - 1)].append((pair_id, p))
    return tuple(_build_bin(index / bins, (index + 1) / bins, labels, human) for index, labels in enumerate(members))


def _build_bin(
    low: float, high: float, labels: Sequence[tuple[str, float]], human: Mapping[str, Choice | None]
) -> HistogramBin:
    choices = [choice for pair_id, _ in labels if (choice := human.get(pair_id)) is not None]
    return HistogramBin(
        low=low,
        high=high,
        n=len(labels),
        mean_p_a=sum(p for _, p in labels) / len(labels) if labels else None,
        human_a_rate=proportion(choices.count("a"), len(choices)),
    )
