"""Labels in bins of their probability, with what humans say of each bin."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.report.model import HistogramBin
from trimtab.stats import proportion
from trimtab.types import Choice


def build_label_histogram(
    p_a: Mapping[str, float | None], human: Mapping[str, Choice | None], *, bins: int = 10
) -> tuple[HistogramBin, ...]:
    """`bins` bins of equal width over [0, 1], by pair id. Labels of None, abstained or failed, are in none of them."""
    members: list[list[tuple[str, float]]] = [[] for _ in range(bins)]
    for pair_id, p in p_a.items():
        if p is not None:
            members[min(int(p * bins), bins - 1)].append((pair_id, p))
    return tuple(_build_bin(index / bins, (index + 1) / bins, rows, human) for index, rows in enumerate(members))


def _build_bin(
    low: float, high: float, rows: list[tuple[str, float]], human: Mapping[str, Choice | None]
) -> HistogramBin:
    choices = [human.get(pair_id) for pair_id, _ in rows]
    known = [choice for choice in choices if choice is not None]
    mean_p = sum(p for _, p in rows) / len(rows) if rows else None
    return HistogramBin(
        low=low, high=high, n=len(rows), mean_p_a=mean_p, human_a_rate=proportion(known.count("a"), len(known))
    )
