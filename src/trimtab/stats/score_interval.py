"""The score interval of a difference between two shares of the same rows."""

from __future__ import annotations

import math

from trimtab.stats.quantiles import find_root


def paired_score_interval(difference: float, differing: float, n: float, z: float) -> tuple[float, float]:
    """The interval of Tango (1998) at n independent rows: every Δ for which |difference - Δ| <= z √(v(Δ) / n).

    With b the share of rows on which ours alone is right and c that on which theirs alone is, `difference` is b - c and
    `differing` b + c, both of all rows. v(Δ) = 2 c' + Δ - Δ² is the variance of one row's difference were Δ the truth, with c'
    the likeliest c that has b - c = Δ. The interval stays in [-1, 1] and keeps a width of ± z²/(n + z²) where no row differs.
    """
    return _lower_bound(difference, differing, n, z), -_lower_bound(-difference, differing, n, z)


def _lower_bound(difference: float, differing: float, n: float, z: float) -> float:
    lost = max(0.0, differing - difference) / 2

    def rising(delta: float) -> float:
        b = (2 - difference) * delta - differing
        likeliest = (math.sqrt(max(0.0, b * b + 8 * lost * delta * (1 - delta))) - b) / 4
        variance = max(0.0, 2 * likeliest + delta - delta * delta)
        return delta - difference + z * math.sqrt(variance / n)

    return find_root(rising, -1.0, difference)
