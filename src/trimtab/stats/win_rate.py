"""How often one policy's answers win against another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from trimtab.stats.clusters import ClusterIds
from trimtab.stats.means import bounded_mean
from trimtab.types import Metric

Outcome = Literal["win", "tie", "loss", "failed"]
OUTCOME_POINTS: Mapping[Outcome, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0}


def win_rate(outcomes: Sequence[Outcome], *, clusters: ClusterIds | None = None) -> Metric:
    """(wins + ties / 2) over the comparisons judged, with the interval of `share` over `clusters`, such as prompts.

    One half is a policy as good as the other; the interval leaves it out only where the exact test over clusters does too.
    Comparisons that failed do not count but in `n_failed`.
    """
    points, groups = score_valid_outcomes(outcomes, clusters)
    return bounded_mean(points, null=OUTCOME_POINTS["tie"], n_failed=len(outcomes) - len(points), clusters=groups)


def score_valid_outcomes(
    outcomes: Sequence[Outcome], clusters: ClusterIds | None
) -> tuple[list[float], ClusterIds | None]:
    """The points of the comparisons that did not fail, and their clusters. Raises `ValueError` for any other outcome."""
    for place, outcome in enumerate(outcomes):
        if outcome != "failed" and outcome not in OUTCOME_POINTS:
            raise ValueError(f"outcomes[{place}] must be win, tie, loss or failed, got {outcome!r}")
    if clusters is not None and len(clusters) != len(outcomes):
        raise ValueError(f"clusters: {len(clusters)} of them for {len(outcomes)} outcomes")
    kept = [place for place, outcome in enumerate(outcomes) if outcome != "failed"]
    return [OUTCOME_POINTS[outcomes[place]] for place in kept], clusters and [clusters[place] for place in kept]
