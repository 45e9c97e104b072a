"""Win rate of one policy's responses against another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.stats.clusters import ClusterIds
from trimtab.stats.means import bounded_mean
from trimtab.types import Metric, Outcome

OUTCOME_POINTS: Mapping[Outcome, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0}


def win_rate(outcomes: Sequence[Outcome], *, clusters: ClusterIds | None = None) -> Metric:
    """(wins + ties / 2) / comparisons, with the interval of `bounded_mean` over `clusters`, such as prompts.

    One half means that both policies are equally good; the interval excludes it only if the exact test over clusters is
    significant. Failed comparisons count in `n_failed` only.
    """
    points, groups = score_valid_outcomes(outcomes, clusters)
    return bounded_mean(points, null=OUTCOME_POINTS["tie"], n_failed=len(outcomes) - len(points), clusters=groups)


def score_valid_outcomes(
    outcomes: Sequence[Outcome], clusters: ClusterIds | None
) -> tuple[list[float], ClusterIds | None]:
    """The points of the comparisons that did not fail, and their clusters. Raises `ValueError` for an unknown outcome."""
    for index, outcome in enumerate(outcomes):
        if outcome != "failed" and outcome not in OUTCOME_POINTS:
            raise ValueError(f"outcomes[{index}] must be win, tie, loss or failed, got {outcome!r}")
    if clusters is not None and len(clusters) != len(outcomes):
        raise ValueError(f"clusters: got {len(clusters)} for {len(outcomes)} outcomes")
    valid = [index for index, outcome in enumerate(outcomes) if outcome != "failed"]
    points = [OUTCOME_POINTS[outcomes[index]] for index in valid]
    return points, clusters and [clusters[index] for index in valid]
