"""Score interval for a difference of two proportions on the same rows."""

from __future__ import annotations

import math

_BISECTION_STEPS = 80


def paired_score_interval(difference: float, differing: float, n: float, z: float) -> tuple[float, float]:
    """The interval of Tango (1998) for n independent rows: all Δ with |difference - Δ| <= z √(v(Δ) / n).

    With b the fraction of rows on which only the candidate is correct and c that on which only the baseline is, `difference` is
    b - c and `differing` is b + c. v(Δ) = 2 c' + Δ - Δ² is the variance of one row's difference if Δ were true, with c' the
    maximum-likelihood estimate of c under b - c = Δ. The interval stays in [-1, 1], and has a width of ± z²/(n + z²) if no row
    differs.
    """
    return _lower_bound(difference, differing, n, z), -_lower_bound(-difference, differing, n, z)


def _lower_bound(difference: float, differing: float, n: float, z: float) -> float:
    losses = max(0.0, differing - difference) / 2

    def excess(delta: float) -> float:
        """Negative below the bound, positive between the bound and `difference`."""
        b = (2 - difference) * delta - differing
        likeliest = (math.sqrt(max(0.0, b * b + 8 * losses * delta * (1 - delta))) - b) / 4
        variance = max(0.0, 2 * likeliest + delta - delta * delta)
        return delta - difference + z * math.sqrt(variance / n)

    # bisection, because `difference` itself is a second root if no row differs
    low, high = -1.0, difference
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return (low + high) / 2
