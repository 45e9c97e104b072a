"""McNemar's test for the rows on which two arms differ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from trimtab.stats.clusters import lookup_clusters, sum_by_cluster
from trimtab.stats.permutation_test import sign_flip_p_value


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarResult:
    """`wins` and `losses`: rows on which the candidate is above or below the baseline. `n`: rows present in both. `n_failed`:
    ids present in one only. `p_value` is None if no row differs."""

    wins: int
    losses: int
    p_value: float | None
    n: int
    n_failed: int = 0


def mcnemar_test(
    candidate: Mapping[str, float],
    baseline: Mapping[str, float],
    *,
    seed: int = 0,
    clusters: Mapping[str, Hashable] | None = None,
) -> McNemarResult:
    """The exact two-sided test of McNemar (1947) on values joined by id. Under the null hypothesis, differing rows are coin
    flips.

    This is McNemar's test for binary values (1 and 0) on independent rows. For other values, or with the cluster of each id in
    `clusters`, it is its generalization that swaps both arms cluster by cluster (`sign_flip_p_value`).
    """
    common = sorted(candidate.keys() & baseline.keys())
    differences = np.array([candidate[key] - baseline[key] for key in common])
    groups = lookup_clusters(common, clusters)
    sums = sum_by_cluster(differences[:, None], groups)[:, 0] if common else differences
    return McNemarResult(
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        p_value=sign_flip_p_value(sums, seed),
        n=len(common),
        n_failed=len(candidate.keys() ^ baseline.keys()),
    )
