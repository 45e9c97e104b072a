"""Paired difference of two arms on the same rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np

from trimtab.stats.cluster_variance import estimate_clustered_means
from trimtab.stats.clusters import (
    ClusterIds,
    FloatArray,
    exact_mean,
    lookup_clusters,
    require_finite,
    sum_by_cluster,
)
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
    """The mean of candidate minus baseline over the ids present in both, with an interval over these ids.

    Pairing removes the variance that both sides share, so the interval is narrower than two separate intervals suggest. It is
    that of `mean`. If both sides hold only outcomes (0, 1, and 1/2 for ties), it is the paired score interval (Tango 1998) at
    the effective sample size, as in `bounded_mean`, because a bootstrap is far too narrow if few rows differ. Either interval
    is widened to zero if the exact test over clusters (`sign_flip_p_value`) has p > 0.05. `n_failed` counts the ids present in
    one side only. `clusters` gives the cluster of each common id, as in `mean`.
    """
    common = sorted(candidate.keys() & baseline.keys())
    n_failed = len(candidate.keys() ^ baseline.keys())
    candidate_values = require_finite([candidate[key] for key in common], "candidate")
    baseline_values = require_finite([baseline[key] for key in common], "baseline")
    differences, groups = candidate_values - baseline_values, lookup_clusters(common, clusters)
    if common and np.isin(np.concatenate([candidate_values, baseline_values]), (0.0, 0.5, 1.0)).all():
        metric = _outcome_difference(differences, n_failed, groups)
    else:
        metric = _mirrored_bootstrap(differences, n_failed, seed, groups)
    return widen_to_null_unless_significant(metric, sum_by_cluster(differences[:, None], groups)[:, 0], seed=seed)


def _mirrored_bootstrap(differences: FloatArray, n_failed: int, seed: int, clusters: ClusterIds | None) -> Metric:
    """The bootstrap mean, computed so that baseline minus candidate gives exactly the negated result."""
    negated = _is_negated(differences)
    metric = mean((-differences if negated else differences).tolist(), n_failed=n_failed, seed=seed, clusters=clusters)
    if not negated or metric.value is None:
        return metric
    low, high = (None if bound is None else -bound for bound in (metric.high, metric.low))
    return replace(metric, value=-metric.value, low=low, high=high)


def _is_negated(differences: FloatArray) -> bool:
    """Chooses exactly one of differences and -differences, independent of the order of rows."""
    forward, reversed_ = np.sort(differences), np.sort(-differences)
    unequal = np.flatnonzero(forward != reversed_)
    return bool(len(unequal) and forward[unequal[0]] < reversed_[unequal[0]])


def _outcome_difference(differences: FloatArray, n_failed: int, clusters: ClusterIds | None) -> Metric:
    """From differences of outcomes, each in [-1, 1]."""
    value, n = exact_mean(differences), len(differences)
    means = estimate_clustered_means(differences[:, None], clusters)
    if means.n_clusters < 2:
        return Metric(value=value, low=None, high=None, n=n, n_failed=n_failed)
    differing = exact_mean(np.abs(differences))
    size = effective_sample_size(differing - value**2, float(means.covariance[0, 0]), means.n_clusters)
    low, high = paired_score_interval(value, differing, size, student_t_quantile(means.n_clusters - 1))
    return Metric(value=value, low=low, high=high, n=n, n_failed=n_failed)
