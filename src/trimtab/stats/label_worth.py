"""How many human labels an arm's labels are worth, read off the learning curve of arms trained on human labels.

The curve f is the expected value of a metric as a function of the number of human labels, over rows and training seeds. It is
observed at a few numbers. The worth of an arm with the expected value w is the n with f(n) = w.

The interval inverts a test, as Fieller's (1954) does for a ratio: it holds every n for which w - f(n) is not significantly
different from zero. At a given n that difference is a linear contrast of arms on the same rows, so its variance includes the
arm's rows and seeds, and those of the curve. Between two points, learning curves follow power laws (Hestness et al. 2017):
f is a straight line in n^-c, with an exponent c that is not known. The interval is the union of those for c = 0, a line in
log n, and c = 1/2. If the observed curve falls somewhere, the n that are not rejected may have gaps; the interval is the part
around the value. Nothing is extrapolated: an interval that reaches an end of the curve is open.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.stats.clusters import ClusterIds, FloatArray, lookup_clusters, require_finite, sum_by_cluster
from trimtab.stats.quantiles import student_t_quantile, student_t_quantiles

CurvePosition = Literal["below", "inside", "above"]
# Values by row id, one mapping per seed.
ValuesBySeed = Sequence[Mapping[str, float]]
# The numbers of labels that are tested, evenly spaced in their logarithm.
NUM_TESTED_COUNTS = 1000
# The least and the most concave curve between two points.
CURVE_EXPONENTS = (0.0, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelWorth:
    """A number of human labels with its 95% interval.

    The curve was observed from `smallest` to `largest` labels. `position` is the position of the arm on it; `value` is None
    unless that is `inside`. `low` is None if the worth may be less than `smallest`, `high` if it may be more than `largest`.
    `n` counts the rows that all arms and seeds have, `n_failed` the others. With one of `n_seeds`, the interval is over rows
    only.
    """

    position: CurvePosition
    value: float | None
    low: float | None
    high: float | None
    smallest: int
    largest: int
    n: int
    n_failed: int
    n_seeds: int


def estimate_label_worth(
    curve: Mapping[int, ValuesBySeed], arm: ValuesBySeed, *, clusters: Mapping[str, Hashable] | None = None
) -> LabelWorth:
    """The number of human labels with which a student is as good as with the labels of `arm`.

    `curve` has, by the number of human labels, the values of the students trained on them: one mapping per seed, from row ids
    to values, with the seeds in the same order as in `arm`. `clusters` gives the cluster of each row, such as its prompt.

    The value is read off the increasing curve that is closest to the observed means (isotonic regression; Barlow et al. 1972),
    a line in log n between its points.
    The variance of w - f(n) is that of two crossed random effects (Searle, Casella & McCulloch 1992): of rows, over their
    clusters, plus of seeds beyond the interaction, which the first part includes. The variance between seeds is pooled over
    all arms, without what a seed adds to all of them: two seeds of five arms have four degrees of freedom instead of one. It
    assumes that trainings vary equally in all arms. Student's degrees of freedom are Satterthwaite's (1946).

    Raises `ValueError` for fewer than two numbers of labels, different numbers of seeds, and if no row is in all arms and
    seeds.
    """
    counts = sorted(curve)
    runs = [list(arm), *(list(curve[count]) for count in counts)]
    if len(counts) < 2 or counts[0] < 1:
        raise ValueError(f"label_worth: curve of {counts} labels, expected two or more different positive numbers")
    if len({len(values) for values in runs}) > 1 or not runs[0]:
        raise ValueError(f"label_worth: {[len(values) for values in runs]} seeds, expected the same number in all arms")
    tables = [values for seeds in runs for values in seeds]
    ids = sorted(set.intersection(*(set(values) for values in tables)))
    if not ids:
        raise ValueError("label_worth: no row has a value in all arms and seeds")
    columns = [require_finite([values[key] for key in ids], "values") for values in tables]
    table = np.stack(columns, axis=1).reshape(len(ids), len(runs), len(runs[0]))
    n_failed = len(set().union(*tables)) - len(ids)
    return compute_label_worth(table, counts, clusters=lookup_clusters(ids, clusters), n_failed=n_failed)


def compute_label_worth(
    table: FloatArray, counts: Sequence[int], *, clusters: ClusterIds | None = None, n_failed: int = 0
) -> LabelWorth:
    """The same from an array of shape (rows, arms, seeds): first the arm, then the curve with `counts` labels, ascending."""
    n_rows, n_arms, n_seeds = table.shape
    sums = sum_by_cluster(table.reshape(n_rows, -1), clusters)
    means = sums[:, :-1].sum(axis=0).reshape(n_arms, n_seeds) / n_rows
    tested = list_tested_counts(counts)
    differences, half_widths = np.empty((2, len(CURVE_EXPONENTS), len(tested)))
    for index, exponent in enumerate(CURVE_EXPONENTS):
        weights = compute_interpolation_weights(tested, counts, exponent)
        contrasts = np.column_stack([np.ones(len(tested)), -weights])
        differences[index] = contrasts @ means.mean(axis=1)
        half_widths[index] = compute_half_widths(contrasts, sums, means)
    position, value = _locate(means.mean(axis=1), counts)
    accepted = np.asarray((np.abs(differences) <= half_widths).any(axis=0))
    low, high = select_interval(tested, accepted, position, value)
    return LabelWorth(
        position=position,
        value=value,
        low=low,
        high=high,
        smallest=counts[0],
        largest=counts[-1],
        n=n_rows,
        n_failed=n_failed,
        n_seeds=n_seeds,
    )


def list_tested_counts(counts: Sequence[int]) -> NDArray[np.int64]:
    """Whole numbers of labels from the first to the last of `counts`, which are among them."""
    spaced = np.geomspace(counts[0], counts[-1], NUM_TESTED_COUNTS).round().astype(np.int64)
    return np.unique(np.concatenate([spaced, np.asarray(counts, dtype=np.int64)]))


def compute_interpolation_weights(
    tested: NDArray[np.number], counts: Sequence[int], exponent: float = 0.0
) -> FloatArray:
    """The weights of the curve's points in its value at each tested number: (tested, counts). Each row sums to 1.

    Between two points, the curve is a straight line in n^-exponent, or in log n for an exponent of 0.
    """
    x, knots = (np.log(n) if exponent == 0 else -(n**-exponent) for n in (np.asarray(tested), np.asarray(counts)))
    return np.stack([np.interp(x, knots, unit) for unit in np.eye(len(counts))], axis=1)


def compute_half_widths(contrasts: FloatArray, sums: FloatArray, means: FloatArray) -> FloatArray:
    """Half the width of the 95% interval of each contrast of arms.

    `contrasts` (contrasts, arms) have rows that sum to zero. `sums` are those of each cluster by arm and seed, with the number
    of its rows as last column; `means` (arms, seeds). Infinite for a single cluster.
    """
    n_clusters, (n_arms, n_seeds) = len(sums), means.shape
    if n_clusters < 2:
        return np.full(len(contrasts), np.inf)
    residuals = sums[:, :-1].reshape(n_clusters, n_arms, n_seeds) - sums[:, -1, None, None] * means
    scale = n_clusters / (n_clusters - 1) / sums[:, -1].sum() ** 2
    shared = residuals.mean(axis=2)
    v_rows = _quadratic(contrasts, scale * shared.T @ shared)
    if n_seeds == 1:
        return np.asarray(student_t_quantile(n_clusters - 1) * np.sqrt(v_rows), dtype=np.float64)
    interaction = (residuals - shared[:, :, None]).transpose(1, 0, 2).reshape(n_arms, -1)
    v_interaction = _quadratic(contrasts, scale * interaction @ interaction.T / (n_seeds * (n_seeds - 1)))
    # what is left of the seed means without the effects of the arm and of the seed
    noise = means - means.mean(axis=1, keepdims=True) - means.mean(axis=0) + means.mean()
    df_seeds = (n_arms - 1) * (n_seeds - 1)
    v_seeds = (contrasts**2).sum(axis=1) * float((noise**2).sum()) / df_seeds / n_seeds
    variance = v_rows + np.maximum(v_seeds - v_interaction, 0.0)
    spread = np.where(v_seeds > v_interaction, v_seeds**2 / df_seeds, 0.0) + v_rows**2 / (n_clusters - 1)
    df = np.divide(variance**2, spread, out=np.ones_like(spread), where=spread > 0)
    half_widths: FloatArray = student_t_quantiles(df) * np.sqrt(variance)
    return half_widths


def _quadratic(contrasts: FloatArray, covariance: FloatArray) -> FloatArray:
    """c' V c of each contrast c, not below zero."""
    return np.asarray(np.maximum(((contrasts @ covariance) * contrasts).sum(axis=1), 0.0), dtype=np.float64)


def _locate(means: FloatArray, counts: Sequence[int]) -> tuple[CurvePosition, float | None]:
    """The position of the first mean on the increasing curve through the others, and the number of labels there."""
    from scipy.optimize import isotonic_regression

    target, curve = float(means[0]), isotonic_regression(means[1:]).x.tolist()
    if target < curve[0]:
        return "below", None
    if target > curve[-1]:
        return "above", None
    right = next(index for index, level in enumerate(curve) if level >= target)
    if right == 0:
        return "inside", float(counts[0])
    share = (target - curve[right - 1]) / (curve[right] - curve[right - 1])
    return "inside", float(counts[right - 1] * (counts[right] / counts[right - 1]) ** share)


def select_interval(
    tested: NDArray[np.int64], accepted: NDArray[np.bool_], position: CurvePosition, value: float | None
) -> tuple[float | None, float | None]:
    """The ends of the accepted numbers around the arm's position, None at an accepted end of the curve."""
    last = len(tested) - 1
    start = int(np.abs(tested - value).argmin()) if value is not None else 0 if position == "below" else last
    rejected = np.flatnonzero(~accepted)
    if accepted[start]:
        left, right = rejected[rejected < start], rejected[rejected > start]
        first, end = (left[-1] + 1 if len(left) else 0), (right[0] - 1 if len(right) else last)
    else:
        first = end = start
    inside = [float(tested[first]), float(tested[end]), *([] if value is None else [value])]
    is_low_open = position == "below" or (accepted[start] and first == 0)
    is_high_open = position == "above" or (accepted[start] and end == last)
    return None if is_low_open else min(inside), None if is_high_open else max(inside)
