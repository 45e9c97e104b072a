"""How often one policy's answers win against another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from trimtab.statistics.means import share
from trimtab.statistics.rows import Clusters
from trimtab.types import Metric

Outcome = Literal["win", "tie", "loss", "failed"]
POINTS: Mapping[Outcome, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0}


def win_rate(outcomes: Sequence[Outcome], *, clusters: Clusters | None = None) -> Metric:
    """(wins + ties / 2) over the comparisons judged, with the interval of `share` over `clusters`, such as prompts.

    One half is a policy as good as the other; the interval leaves it out only where the exact test over clusters does too.
    Comparisons that failed do not count but in `n_failed`.
    """
    points, groups = judged(outcomes, clusters)
    return share(points, null=POINTS["tie"], n_failed=len(outcomes) - len(points), clusters=groups)


def judged(outcomes: Sequence[Outcome], clusters: Clusters | None) -> tuple[list[float], Clusters | None]:
    """The points of the comparisons that did not fail, and their clusters. Raises `ValueError` for any other outcome."""
    for place, outcome in enumerate(outcomes):
        if outcome != "failed" and outcome not in POINTS:
            raise ValueError(f"outcomes[{place}] must be win, tie, loss or failed, got {outcome!r}")
    if clusters is not None and len(clusters) != len(outcomes):
        raise ValueError(f"clusters: {len(clusters)} of them for {len(outcomes)} outcomes")
    kept = [place for place, outcome in enumerate(outcomes) if outcome != "failed"]
    return [POINTS[outcomes[place]] for place in kept], clusters and [clusters[place] for place in kept]
