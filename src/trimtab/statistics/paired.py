"""Two arms on the same rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np

from trimtab.statistics.exact import as_told
from trimtab.statistics.means import independent, mean
from trimtab.statistics.quantiles import student_t
from trimtab.statistics.rows import Clusters, Floats, average, by_cluster, clusters_of, finite
from trimtab.statistics.score import paired_score
from trimtab.statistics.spread import clustered_means
from trimtab.types import Metric


def paired_difference(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    seed: int = 0,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """The mean of ours minus theirs over the ids that both have, with an interval over those ids.

    Pairing takes out what the rows have in common, so the interval is narrower than two separate ones suggest. It is that of
    `mean`; but where both sides hold rights and wrongs alone (0, 1, and halves for ties), it is the paired score interval
    (Tango 1998) at the number of independent rows that the difference is worth, as in `share`, for a bootstrap is far too
    narrow where few rows differ. Either reaches to zero where `swapped`, the exact test over clusters, has p > 0.05.
    `n_failed` counts the ids that only one side has. `clusters` gives each common id's cluster, as in `mean`.
    """
    common = sorted(ours.keys() & theirs.keys())
    n_failed = len(ours.keys() ^ theirs.keys())
    mine, other = finite([ours[key] for key in common], "ours"), finite([theirs[key] for key in common], "theirs")
    groups = clusters_of(common, clusters)
    found = (
        _of_shares(mine - other, n_failed, groups)
        if common and np.isin(np.concatenate([mine, other]), (0.0, 0.5, 1.0)).all()
        else _either_way(mine - other, n_failed, seed, groups)
    )
    return as_told(found, by_cluster((mine - other)[:, None], groups)[:, 0], seed=seed)


def _either_way(differences: Floats, n_failed: int, seed: int, clusters: Clusters | None) -> Metric:
    """The mean; that of theirs minus ours is its mirror image to the last digit, which two bootstraps would not give."""
    turned = _turned(differences)
    found = mean((-differences if turned else differences).tolist(), n_failed=n_failed, seed=seed, clusters=clusters)
    if not turned or found.value is None:
        return found
    low, high = (None if bound is None else -bound for bound in (found.high, found.low))
    return replace(found, value=-found.value, low=low, high=high)


def _turned(differences: Floats) -> bool:
    """Whether the differences are told by their negatives: of every two mirror images exactly one is."""
    there, back = np.sort(differences), np.sort(-differences)
    apart = np.flatnonzero(there != back)
    return bool(len(apart) and there[apart[0]] < back[apart[0]])


def _of_shares(differences: Floats, n_failed: int, clusters: Clusters | None) -> Metric:
    """From differences of rights and wrongs, each in [-1, 1]."""
    value, n = average(differences), len(differences)
    found = clustered_means(differences[:, None], clusters)
    if found.clusters < 2:
        return Metric(value=value, low=None, high=None, n=n, n_failed=n_failed)
    differing = average(np.abs(differences))
    worth = independent(differing - value**2, float(found.covariance[0, 0]), found.clusters)
    low, high = paired_score(value, differing, worth, student_t(found.clusters - 1))
    return Metric(value=value, low=low, high=high, n=n, n_failed=n_failed)
