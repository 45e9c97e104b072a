"""Estimates each voter's accuracy from the votes alone (Dawid & Skene 1979)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
Votes = tuple[int, ...]

MAX_ITERATIONS = 1000
TOLERANCE = 1e-9


def estimate_accuracies(votes: Iterable[Votes]) -> tuple[float, ...]:
    """Each voter's probability of being right, in (0, 1), by the EM algorithm of Dawid & Skene (1979).

    `votes` has one tuple per pair with one entry per voter: 1 for `a`, -1 for `b`, 0 for an abstention. Returns an empty
    tuple without pairs. Which response is `a` is random, so both have prior probability 1/2 and each voter has a single
    accuracy rather than one per class. EM starts from the majority's choices and stops when no accuracy changes by more than
    1e-9, or after 1000 iterations. If all voters were wrong instead of right, the likelihood would be the same: of the two
    solutions, the one in which more votes are right than wrong is returned.
    """
    table, counts = _count_vote_patterns(votes)
    if not len(table):
        return ()
    votes_cast = counts @ np.abs(table)
    accuracy = update_accuracies(table, counts, (1 + np.sign(table.sum(axis=1))) / 2)
    for _ in range(MAX_ITERATIONS):
        previous, accuracy = accuracy, update_accuracies(table, counts, compute_posterior(table, accuracy))
        if np.abs(accuracy - previous).max() <= TOLERANCE:
            break
    return tuple(map(float, resolve_label_switching(accuracy, votes_cast)))


def compute_p_a(votes: Sequence[int], accuracy: Sequence[float]) -> float:
    """The posterior probability that `a` is better, given the votes; exactly 1/2 if they cancel out."""
    weights = (math.log(p) - math.log1p(-p) for p in accuracy)
    log_odds = math.fsum(vote * weight for vote, weight in zip(votes, weights, strict=True))
    small = math.exp(-abs(log_odds))
    return 1 / (1 + small) if log_odds >= 0 else small / (1 + small)


def update_accuracies(table: _Floats, counts: _Floats, p: _Floats) -> _Floats:
    """M step: each voter's expected share of right votes, if `p` (one per row) is the probability that `a` is better.

    Adds one right and one wrong vote to each voter, so that no accuracy is exactly 0 or 1.
    """
    right = np.where(table > 0, p[:, None], np.where(table < 0, 1 - p[:, None], 0.0))
    accuracy: _Floats = (counts @ right + 1) / (counts @ np.abs(table) + 2)
    return accuracy


def compute_posterior(table: _Floats, accuracy: _Floats) -> _Floats:
    """E step: for each row, the probability that `a` is better, with prior 1/2."""
    p: _Floats = 1 / (1 + np.exp(-(table @ np.log(accuracy / (1 - accuracy)))))
    return p


def resolve_label_switching(accuracy: _Floats, votes_cast: _Floats) -> _Floats:
    """Replaces all accuracies by 1 - accuracy if more of the `votes_cast` would be wrong than right."""
    return 1 - accuracy if votes_cast @ (accuracy - 0.5) < 0 else accuracy


def _count_vote_patterns(votes: Iterable[Votes]) -> tuple[_Floats, _Floats]:
    """The distinct vote patterns (rows, voters) and their counts. A pattern and its negation (`a` and `b` swapped) are one."""
    counter = Counter(tuple(-vote for vote in pattern) if _first_vote(pattern) < 0 else pattern for pattern in votes)
    patterns = sorted(counter)
    return np.array(patterns, dtype=np.float64), np.array([counter[item] for item in patterns], dtype=np.float64)


def _first_vote(pattern: Votes) -> int:
    return next((vote for vote in pattern if vote), 0)
