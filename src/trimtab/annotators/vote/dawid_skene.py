"""How often each voter is right, told from the votes alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Votes = tuple[int, ...]

MAX_ITERATIONS = 1000
TOLERANCE = 1e-9


def estimate_accuracies(votes: Iterable[Votes]) -> tuple[float, ...]:
    """Each voter's probability of being right, in (0, 1), by the EM algorithm of Dawid & Skene (1979).

    `votes` holds a tuple a pair with an entry a voter: 1 for `a`, -1 for `b`, 0 for none; empty without pairs. Which response
    is `a` is drawn, so both are as likely to be the better, and a voter has one accuracy rather than one for each. It starts
    from the majority's choices and ends when no accuracy moves by more than 1e-9, or after 1000 steps. Everybody wrong fits as
    well as everybody right: of the two, the one stands in which the votes are right more often than not.
    """
    table, counts = _count_vote_patterns(votes)
    if not len(table):
        return ()
    cast = counts @ np.abs(table)
    found = update_accuracies(table, counts, (1 + np.sign(table.sum(axis=1))) / 2)
    for _ in range(MAX_ITERATIONS):
        before, found = found, update_accuracies(table, counts, compute_posterior(table, found))
        if np.abs(found - before).max() <= TOLERANCE:
            break
    return tuple(map(float, resolve_label_switching(found, cast)))


def compute_p_a(votes: Sequence[int], accuracy: Sequence[float]) -> float:
    """The probability that `a` is the better when such voters vote so; exactly one half where the votes cancel out."""
    weights = (math.log(each) - math.log1p(-each) for each in accuracy)
    log_odds = math.fsum(each * weight for each, weight in zip(votes, weights, strict=True))
    small = math.exp(-abs(log_odds))
    return 1 / (1 + small) if log_odds >= 0 else small / (1 + small)


def update_accuracies(table: Floats, counts: Floats, p: Floats) -> Floats:
    """The M step: of each voter's votes the share that is right where `p` (a row each) is the probability that `a` is better.

    One right and one wrong vote are added to everybody's, so that no voter is ever beyond doubt.
    """
    right = np.where(table > 0, p[:, None], np.where(table < 0, 1 - p[:, None], 0.0))
    shares: Floats = (counts @ right + 1) / (counts @ np.abs(table) + 2)
    return shares


def compute_posterior(table: Floats, accuracy: Floats) -> Floats:
    """The E step: for each row the probability that `a` is the better, both being as likely beforehand."""
    p: Floats = 1 / (1 + np.exp(-(table @ np.log(accuracy / (1 - accuracy)))))
    return p


def resolve_label_switching(accuracy: Floats, cast: Floats) -> Floats:
    """The accuracies, all of them turned over where the votes that were `cast` would be wrong more often than right."""
    return 1 - accuracy if cast @ (accuracy - 0.5) < 0 else accuracy


def _count_vote_patterns(votes: Iterable[Votes]) -> tuple[Floats, Floats]:
    """Every way to vote that occurs (rows, voters), and how often. Ways that differ in the names `a` and `b` alone are one."""
    counted = Counter(tuple(-each for each in way) if _first_vote(way) < 0 else way for way in votes)
    ways = sorted(counted)
    return np.array(ways, dtype=np.float64), np.array([counted[way] for way in ways], dtype=np.float64)


def _first_vote(way: Votes) -> int:
    return next((each for each in way if each), 0)
