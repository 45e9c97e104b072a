"""McNemar's test: of the rows on which two arms differ, does one win more than half?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """The rows on which ours is above theirs, those on which it is below, all rows that both have, and `n_failed`, the ids
    that only one side has. `p_value` is None where no row differs."""

    above: int
    below: int
    p_value: float | None
    n: int
    n_failed: int = 0


def mcnemar(ours: Mapping[str, float], theirs: Mapping[str, float]) -> McNemar:
    """The exact two-sided test of McNemar (1947), joined by id: were both as good, the rows that differ would be coin flips.

    With rights and wrongs (1 and 0) it is McNemar's, with other figures the sign test. Rows must be independent: for several
    pairs a prompt, read the clustered interval of `paired_difference` instead.
    """
    common = ours.keys() & theirs.keys()
    above = sum(ours[key] > theirs[key] for key in common)
    below = sum(ours[key] < theirs[key] for key in common)
    return McNemar(
        above=above,
        below=below,
        p_value=_two_sided(min(above, below), above + below) if above + below else None,
        n=len(common),
        n_failed=len(ours.keys() ^ theirs.keys()),
    )


def _two_sided(fewer: int, n: int) -> float:
    """Twice the chance of at most `fewer` heads in n flips of a fair coin, at most 1."""
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(fewer + 1)]
    return min(1.0, 2 * math.fsum(math.exp(each - n * math.log(2)) for each in logs))
