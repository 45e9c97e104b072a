"""Two arms on the same rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np

from trimtab.stats.cluster_variance import estimate_clustered_means
from trimtab.stats.clusters import ClusterIds, FloatArray, exact_mean, lookup_clusters, require_finite, sum_by_cluster
from trimtab.stats.means import effective_sample_size, mean
from trimtab.stats.permutation_test import widen_to_null_unless_significant
from trimtab.stats.quantiles import student_t_quantile
from trimtab.stats.score_interval import paired_score_interval
from trimtab.types import Metric


def paired_difference(
    candidate: Mapping[str, float],
    baseline: Mapping[str, float],
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
    common = sorted(candidate.keys() & baseline.keys())
    n_failed = len(candidate.keys() ^ baseline.keys())
    mine, other = (
        require_finite([candidate[key] for key in common], "ours"),
        require_finite([baseline[key] for key in common], "theirs"),
    )
    groups = lookup_clusters(common, clusters)
    found = (
        _outcome_difference(mine - other, n_failed, groups)
        if common and np.isin(np.concatenate([mine, other]), (0.0, 0.5, 1.0)).all()
        else _mirrored_bootstrap(mine - other, n_failed, seed, groups)
    )
    return widen_to_null_unless_significant(found, sum_by_cluster((mine - other)[:, None], groups)[:, 0], seed=seed)


def _mirrored_bootstrap(differences: FloatArray, n_failed: int, seed: int, clusters: ClusterIds | None) -> Metric:
    """The mean; that of theirs minus ours is its mirror image to the last digit, which two bootstraps would not give."""
    turned = _is_negated(differences)
    found = mean((-differences if turned else differences).tolist(), n_failed=n_failed, seed=seed, clusters=clusters)
    if not turned or found.value is None:
        return found
    low, high = (None if bound is None else -bound for bound in (found.high, found.low))
    return replace(found, value=-found.value, low=low, high=high)


def _is_negated(differences: FloatArray) -> bool:
    """Whether the differences are told by their negatives: of every two mirror images exactly one is."""
    there, back = np.sort(differences), np.sort(-differences)
    apart = np.flatnonzero(there != back)
    return bool(len(apart) and there[apart[0]] < back[apart[0]])


def _outcome_difference(differences: FloatArray, n_failed: int, clusters: ClusterIds | None) -> Metric:
    """From differences of rights and wrongs, each in [-1, 1]."""
    value, n = exact_mean(differences), len(differences)
    found = estimate_clustered_means(differences[:, None], clusters)
    if found.n_clusters < 2:
        return Metric(value=value, low=None, high=None, n=n, n_failed=n_failed)
    differing = exact_mean(np.abs(differences))
    worth = effective_sample_size(differing - value**2, float(found.covariance[0, 0]), found.n_clusters)
    low, high = paired_score_interval(value, differing, worth, student_t_quantile(found.n_clusters - 1))
    return Metric(value=value, low=low, high=high, n=n, n_failed=n_failed)
