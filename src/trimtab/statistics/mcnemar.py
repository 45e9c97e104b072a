"""McNemar's test: of the rows on which two arms differ, does one win more than half?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from trimtab.statistics.exact import swapped
from trimtab.statistics.rows import by_cluster, clusters_of


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """The rows on which ours is above theirs, those on which it is below, all rows that both have, and `n_failed`, the ids
    that only one side has. `p_value` is None where nothing differs."""

    above: int
    below: int
    p_value: float | None
    n: int
    n_failed: int = 0


def mcnemar(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    seed: int = 0,
    clusters: Mapping[str, Hashable] | None = None,
) -> McNemar:
    """The exact two-sided test of McNemar (1947), joined by id: were both as good, the rows that differ would be coin flips.

    With rights and wrongs (1 and 0) and rows of their own it is McNemar's; with other figures, or where `clusters` gives each
    id's, it is the test that swaps both arms a cluster at a time (`swapped`), of which McNemar's is a case.
    """
    common = sorted(ours.keys() & theirs.keys())
    differences = np.array([ours[key] - theirs[key] for key in common])
    sums = by_cluster(differences[:, None], clusters_of(common, clusters))[:, 0] if common else differences
    return McNemar(
        above=int((differences > 0).sum()),
        below=int((differences < 0).sum()),
        p_value=swapped(sums, seed),
        n=len(common),
        n_failed=len(ours.keys() ^ theirs.keys()),
    )
