"""Two arms on the same rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from trimtab.statistics.means import mean
from trimtab.statistics.rows import clusters_of
from trimtab.types import Metric


def paired_difference(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    seed: int = 0,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """The mean of ours minus theirs over the ids that both have, with a bootstrap over those ids (Efron 1979).

    Pairing takes out what the rows have in common, so the interval is narrower than two separate ones suggest.
    `n_failed` counts the ids that only one side has. `clusters` gives each common id's cluster, as in `mean`.
    """
    common = sorted(ours.keys() & theirs.keys())
    differences = [ours[key] - theirs[key] for key in common]
    n_failed = len(ours.keys() ^ theirs.keys())
    return mean(differences, n_failed=n_failed, seed=seed, clusters=clusters_of(common, clusters))
