"""McNemar's test: of the rows on which two arms differ, does one win more than half?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from trimtab.stats.clusters import lookup_clusters, sum_by_cluster
from trimtab.stats.permutation_test import sign_flip_p_value


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemarResult:
    """The rows on which ours is above theirs, those on which it is below, all rows that both have, and `n_failed`, the ids
    that only one side has. `p_value` is None where nothing differs."""

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
    """The exact two-sided test of McNemar (1947), joined by id: were both as good, the rows that differ would be coin flips.

    With rights and wrongs (1 and 0) and rows of their own it is McNemar's; with other figures, or where `clusters` gives each
    id's, it is the test that swaps both arms a cluster at a time (`swapped`), of which McNemar's is a case.
    """
    common = sorted(candidate.keys() & baseline.keys())
    differences = np.array([candidate[key] - baseline[key] for key in common])
    sums = sum_by_cluster(differences[:, None], lookup_clusters(common, clusters))[:, 0] if common else differences
    return McNemarResult(
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        p_value=sign_flip_p_value(sums, seed),
        n=len(common),
        n_failed=len(candidate.keys() ^ baseline.keys()),
    )
