"""How steadily a judge says the same of the same pair, beyond what a coin would."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.stats.clusters import ClusterIds, FloatArray, lookup_clusters, sum_by_cluster, undefined_metric
from trimtab.stats.means import mean
from trimtab.stats.resampling import MIN_BOOTSTRAP_CLUSTERS, percentile_interval, resample_sums
from trimtab.types import Choice, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteConsistency:
    """What repeated votes tell. `majority` is the mean share of a pair's votes that went to the response with more of them, and
    `chance` what a fair coin would have in its place, None where nothing was voted on. `corrected` is (majority - chance) /
    (1 - chance): 0 for a coin, 1 for a judge that always repeats itself. `agreement` is the share of all pairs of votes on the
    same pair that are alike: one half for a coin, however many votes there are."""

    majority: Metric
    chance_majority: float | None
    chance_corrected: Metric
    agreement: Metric


def vote_consistency(
    votes: Mapping[str, Sequence[Choice | None]], *, seed: int = 0, clusters: Mapping[str, Hashable] | None = None
) -> VoteConsistency:
    """The consistency of repeated votes by pair id (`majority` as in Tao & Li 2025, section 4), with a bootstrap over pairs.

    A vote of None failed. Pairs with fewer than two votes do not count but in `n_failed`; the others may have different
    numbers. `clusters` gives each pair's, such as its prompt; `corrected` has no interval with fewer than ten.
    """
    given = {key: [vote for vote in each if vote is not None] for key, each in votes.items()}
    known = {key: each for key, each in given.items() if len(each) > 1}
    groups, n_failed = lookup_clusters(known, clusters), len(given) - len(known)
    k = np.array([len(each) for each in known.values()], dtype=np.float64)
    n_a = np.array([each.count("a") for each in known.values()], dtype=np.float64)
    majority = np.maximum(n_a, k - n_a) / k
    alike = (n_a * (n_a - 1) + (k - n_a) * (k - n_a - 1)) / (k * (k - 1))
    coin = np.array([expected_majority_of_coin_flips(len(each)) for each in known.values()])
    return VoteConsistency(
        majority=mean(majority.tolist(), n_failed=n_failed, seed=seed, clusters=groups),
        chance_majority=float(coin.mean()) if known else None,
        chance_corrected=_ratio_of_sums(np.stack([majority - coin, 1 - coin], axis=1), groups, n_failed, seed),
        agreement=mean(alike.tolist(), n_failed=n_failed, seed=seed, clusters=groups),
    )


def expected_majority_of_coin_flips(k: int) -> float:
    """The share of k >= 1 flips of a fair coin that the more frequent side is expected to have: 0.623 for 10 flips.

    It is 1/2 + C(k - 1, ⌊k/2⌋) / 2^k.
    """
    return 0.5 + float(math.comb(k - 1, k // 2) / 2**k)


def _ratio_of_sums(columns: FloatArray, clusters: ClusterIds | None, n_failed: int, seed: int) -> Metric:
    """The sum of the first column over that of the second, which is positive in every row."""
    if not len(columns):
        return undefined_metric(0, n_failed)
    sums = sum_by_cluster(columns, clusters)
    value = float(columns[:, 0].sum() / columns[:, 1].sum())
    if len(sums) < MIN_BOOTSTRAP_CLUSTERS:
        return Metric(value=value, low=None, high=None, n=len(columns), n_failed=n_failed)
    draws = resample_sums(sums, seed)
    low, high = percentile_interval(draws[:, 0] / draws[:, 1], len(sums))
    return Metric(value=value, low=low, high=high, n=len(columns), n_failed=n_failed)
