"""Agreement between raters, with and without correction for chance."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal

import numpy as np

from trimtab.stats.clusters import FloatArray, lookup_clusters, sum_by_cluster, undefined_metric
from trimtab.stats.means import bounded_mean, proportion
from trimtab.stats.resampling import MIN_BOOTSTRAP_CLUSTERS, percentile_interval, resample_sums
from trimtab.types import Choice, Metric

MeasurementLevel = Literal["nominal", "interval"]
_Statistic = Callable[[FloatArray], FloatArray]
# Agreement of a coin flip with human labels.
CHANCE_AGREEMENT = 0.5
# Smaller values are rounding errors.
_MIN_DISAGREEMENT = 1e-12


def agreement_rate(
    labels: Mapping[str, Choice | None],
    human: Mapping[str, Choice | None],
    *,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """The fraction of human-labeled pairs with the same label, by pair id, with Wilson's interval.

    Pairs without a human label are ignored. `n_failed` counts human-labeled pairs whose label is missing or None. `clusters`
    gives the cluster of each pair, such as its prompt; without it, pairs are treated as independent. With it, the interval
    excludes one half, the agreement of a coin flip, only if the exact test over clusters is significant.
    """
    keys, n_failed = _rated_by_both(labels, human)
    same = [labels[key] == human[key] for key in keys]
    groups = lookup_clusters(keys, clusters)
    if groups is None:
        return proportion(sum(same), len(same), n_failed)
    return bounded_mean([float(agrees) for agrees in same], null=CHANCE_AGREEMENT, n_failed=n_failed, clusters=groups)


def cohen_kappa(
    labels: Mapping[str, Hashable],
    reference: Mapping[str, Hashable],
    *,
    seed: int = 0,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """Chance-corrected agreement, (observed - expected) / (1 - expected) (Cohen 1960), with a bootstrap over the ids.

    Values are categories of any type, None if missing. The expected agreement is Σ over categories of the product of both
    sides' shares. 1 is perfect agreement, 0 is chance. Undefined if both sides use a single, identical category; such
    resamples are dropped from the interval. `n_failed` counts ids with a reference but no label. `clusters` gives the cluster
    of each id; there is no interval for fewer than ten.
    """
    keys, n_failed = _rated_by_both(labels, reference)
    if not keys:
        return undefined_metric(0, n_failed)
    categories = dict.fromkeys([*map(labels.get, keys), *map(reference.get, keys)])
    index_of = {category: index for index, category in enumerate(categories)}
    rows, columns = ([index_of[side[key]] for key in keys] for side in (labels, reference))
    cells = np.zeros((len(keys), len(index_of) ** 2))
    cells[np.arange(len(keys)), np.array(rows) * len(index_of) + np.array(columns)] = 1
    sums = sum_by_cluster(cells, lookup_clusters(keys, clusters))[:, :-1]
    return _bootstrap_statistic(sums, _kappa_from_cells, len(keys), n_failed, seed)


def krippendorff_alpha(
    raters: Sequence[Mapping[str, float | str | None]],
    level: MeasurementLevel = "nominal",
    *,
    seed: int = 0,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """Krippendorff's alpha, 1 - observed / expected disagreement (Krippendorff 2011), with a bootstrap over the rated items.

    Each of two or more raters maps ids to values; a missing id or None is no rating. Two values disagree by 0 or 1 (`nominal`)
    or by their squared difference (`interval`, numbers only). Ids with a single rating count in `n_failed` only. 1 is perfect
    agreement, 0 is chance; below 0, raters disagree more than by chance. Undefined if all values are equal. `n` counts ids.
    `clusters` gives the cluster of each id; there is no interval for fewer than ten.
    """
    if len(raters) < 2:
        raise ValueError(f"raters: alpha compares two or more, got {len(raters)}")
    rated = {key: _collect_ratings(raters, key) for key in sorted(set().union(*raters))}
    units = {key: values for key, values in rated.items() if len(values) > 1}
    n_failed = sum(len(values) == 1 for values in rated.values())
    if not units:
        return undefined_metric(0, n_failed)
    columns = _nominal_columns(list(units.values())) if level == "nominal" else _interval_columns(list(units.values()))
    sums = sum_by_cluster(columns, lookup_clusters(units, clusters))[:, :-1]
    alpha = _alpha_nominal if level == "nominal" else _alpha_interval
    return _bootstrap_statistic(sums, alpha, len(units), n_failed, seed)


def _rated_by_both(labels: Mapping[str, Hashable], reference: Mapping[str, Hashable]) -> tuple[list[str], int]:
    """The ids with a label and a reference, and the number of ids with a reference but no label."""
    with_reference = [key for key, value in reference.items() if value is not None]
    keys = [key for key in with_reference if labels.get(key) is not None]
    return keys, len(with_reference) - len(keys)


def _bootstrap_statistic(sums: FloatArray, statistic: _Statistic, n: int, n_failed: int, seed: int) -> Metric:
    """The statistic of the total sums, with a bootstrap interval over their rows, the clusters."""
    value = statistic(sums.sum(axis=0)[None, :])
    if not len(value):
        return undefined_metric(n, n_failed)
    if len(sums) < MIN_BOOTSTRAP_CLUSTERS:
        return Metric(value=float(value[0]), low=None, high=None, n=n, n_failed=n_failed)
    low, high = percentile_interval(statistic(resample_sums(sums, seed)), len(sums))
    return Metric(value=float(value[0]), low=low, high=high, n=n, n_failed=n_failed)


def _kappa_from_cells(cells: FloatArray) -> FloatArray:
    """Kappa of each row of `cells`, a flattened contingency table, without the rows for which it is undefined."""
    size = round(cells.shape[1] ** 0.5)
    tables = cells.reshape(-1, size, size)
    n = tables.sum(axis=(1, 2))
    chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1)
    agreements = np.trace(tables, axis1=1, axis2=2)
    defined = chance < n * n
    result: FloatArray = (n * agreements - chance)[defined] / (n * n - chance)[defined]
    return result


def _collect_ratings(raters: Sequence[Mapping[str, float | str | None]], key: str) -> list[float | str]:
    ratings = (rater.get(key) for rater in raters)
    return [rating for rating in ratings if rating is not None]


def _nominal_columns(units: Sequence[Sequence[float | str]]) -> FloatArray:
    """The observed disagreement of each unit, and the count of each category in it."""
    categories = dict.fromkeys(value for unit in units for value in unit)
    index_of = {category: index for index, category in enumerate(categories)}
    counts = np.zeros((len(units), len(index_of)))
    for row, unit in enumerate(units):
        for value in unit:
            counts[row, index_of[value]] += 1
    m = counts.sum(axis=1)
    observed = (m * m - (counts * counts).sum(axis=1)) / (m - 1)
    return np.column_stack([observed, counts])


def _alpha_nominal(sums: FloatArray) -> FloatArray:
    observed, counts = sums[:, 0], sums[:, 1:]
    n = counts.sum(axis=1)
    return _alpha(observed / n, (n * n - (counts * counts).sum(axis=1)) / (n * (n - 1)))


def _interval_columns(units: Sequence[Sequence[float | str]]) -> FloatArray:
    """The observed disagreement of each unit, its number of values, their sum and the sum of their squares."""
    flat = [(row, value) for row, unit in enumerate(units) for value in unit]
    text = next((value for _, value in flat if isinstance(value, str)), None)
    if text is not None:
        raise ValueError(f"values must be numbers if level is interval, got {text!r}")
    rows, values = np.array([row for row, _ in flat]), np.array([float(value) for _, value in flat])
    # alpha is invariant to a shift of all values; centering avoids cancellation in the squares
    values = values - values.mean()
    m, total, squares = (np.bincount(rows, weights=weights) for weights in (np.ones(len(flat)), values, values**2))
    observed = 2 * (m * squares - total**2) / (m - 1)
    return np.column_stack([observed, m, total, squares])


def _alpha_interval(sums: FloatArray) -> FloatArray:
    observed, n, total, squares = sums.T
    return _alpha(observed / n, 2 * (n * squares - total**2) / (n * (n - 1)))


def _alpha(observed: FloatArray, expected: FloatArray) -> FloatArray:
    defined = expected > _MIN_DISAGREEMENT
    return 1 - observed[defined] / expected[defined]
