"""Consistency of a judge's repeated votes on the same pair, corrected for chance."""

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
    """Consistency of repeated votes.

    `majority`: the mean fraction of a pair's votes for its majority response. `chance_majority`: the expected value of
    `majority` for a fair coin, None without votes. `chance_corrected`: (majority - chance) / (1 - chance), 0 for a coin and 1
    for a judge that always repeats itself. `agreement`: the fraction of all pairs of votes on the same pair that agree, one
    half for a coin with any number of votes.
    """

    majority: Metric
    chance_majority: float | None
    chance_corrected: Metric
    agreement: Metric


def vote_consistency(
    votes: Mapping[str, Sequence[Choice | None]], *, seed: int = 0, clusters: Mapping[str, Hashable] | None = None
) -> VoteConsistency:
    """The consistency of repeated votes by pair id (`majority` as in Tao & Li 2025, section 4), with a bootstrap over pairs.

    A vote of None failed. Pairs with fewer than two valid votes count in `n_failed` only; the number of votes may differ
    between pairs. `clusters` gives the cluster of each pair, such as its prompt. `chance_corrected` has no interval for fewer
    than ten clusters.
    """
    repeated = _select_repeated(votes)
    groups, n_failed = lookup_clusters(repeated, clusters), len(votes) - len(repeated)
    k = np.array([len(pair_votes) for pair_votes in repeated.values()], dtype=np.float64)
    n_a = np.array([pair_votes.count("a") for pair_votes in repeated.values()], dtype=np.float64)
    majority = np.array(list(majority_shares(votes).values()), dtype=np.float64)
    agreement = (n_a * (n_a - 1) + (k - n_a) * (k - n_a - 1)) / (k * (k - 1))
    chance = np.array([expected_majority_of_coin_flips(len(pair_votes)) for pair_votes in repeated.values()])
    return VoteConsistency(
        majority=mean(majority.tolist(), n_failed=n_failed, seed=seed, clusters=groups),
        chance_majority=float(chance.mean()) if repeated else None,
        chance_corrected=_ratio_of_sums(np.stack([majority - chance, 1 - chance], axis=1), groups, n_failed, seed),
        agreement=mean(agreement.tolist(), n_failed=n_failed, seed=seed, clusters=groups),
    )


def majority_shares(votes: Mapping[str, Sequence[Choice | None]]) -> dict[str, float]:
    """The fraction of each pair's valid votes for its majority response; pairs with fewer than two are left out."""
    repeated = _select_repeated(votes)
    return {
        key: max(pair_votes.count("a"), pair_votes.count("b")) / len(pair_votes) for key, pair_votes in repeated.items()
    }


def _select_repeated(votes: Mapping[str, Sequence[Choice | None]]) -> dict[str, list[Choice]]:
    """The valid votes of each pair with at least two."""
    valid = {key: [vote for vote in pair_votes if vote is not None] for key, pair_votes in votes.items()}
    return {key: pair_votes for key, pair_votes in valid.items() if len(pair_votes) > 1}


def expected_majority_of_coin_flips(k: int) -> float:
    """The expected fraction of the more frequent side in k >= 1 flips of a fair coin: 0.623 for 10 flips.

    Equals 1/2 + C(k - 1, ⌊k/2⌋) / 2^k.
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
    resamples = resample_sums(sums, seed)
    low, high = percentile_interval(resamples[:, 0] / resamples[:, 1], len(sums))
    return Metric(value=value, low=low, high=high, n=len(columns), n_failed=n_failed)
