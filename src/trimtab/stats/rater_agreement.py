"""How far those who judge the same things agree, and how far beyond chance."""

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
# The share of pairs on which a coin says what people do.
CHANCE_AGREEMENT = 0.5
# Less disagreement than this is rounding.
_MIN_DISAGREEMENT = 1e-12


def agreement_rate(
    labels: Mapping[str, Choice | None],
    human: Mapping[str, Choice | None],
    *,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """The share of human-labeled pairs whose label is the human's, by pair id, with Wilson's interval.

    Pairs without a human label do not count. `n_failed` is the human-labeled pairs for which there is no label or None.
    `clusters` gives each pair's, such as its prompt; without it pairs count as independent. With it the interval leaves out
    one half, a coin's, only where the exact test over clusters does too.
    """
    keys, n_failed = _rated_by_both(labels, human)
    same = [labels[key] == human[key] for key in keys]
    groups = lookup_clusters(keys, clusters)
    if groups is None:
        return proportion(sum(same), len(same), n_failed)
    return bounded_mean([float(each) for each in same], null=CHANCE_AGREEMENT, n_failed=n_failed, clusters=groups)


def cohen_kappa(
    labels: Mapping[str, Hashable],
    reference: Mapping[str, Hashable],
    *,
    seed: int = 0,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """Agreement beyond chance, (observed - expected) / (1 - expected) (Cohen 1960), with a bootstrap over the ids.

    Values are categories of any kind, None being none. Expected agreement is Σ over categories of the product of both sides'
    shares. 1 is full agreement, 0 is chance. Undefined where both sides only ever say one and the same thing; resamples of that
    kind are left out of the interval. `n_failed` counts ids to which theirs gives a category and ours none. `clusters` gives
    each id's; there is no interval with fewer than ten.
    """
    keys, n_failed = _rated_by_both(labels, reference)
    if not keys:
        return undefined_metric(0, n_failed)
    names = {
        name: place for place, name in enumerate(dict.fromkeys([*map(labels.get, keys), *map(reference.get, keys)]))
    }
    mine, other = ([names[side[key]] for key in keys] for side in (labels, reference))
    cells = np.zeros((len(keys), len(names) ** 2))
    cells[np.arange(len(keys)), np.array(mine) * len(names) + np.array(other)] = 1
    sums = sum_by_cluster(cells, lookup_clusters(keys, clusters))[:, :-1]
    return _bootstrap_statistic(sums, _kappa_from_cells, len(keys), n_failed, seed)


def krippendorff_alpha(
    raters: Sequence[Mapping[str, float | str | None]],
    level: MeasurementLevel = "nominal",
    *,
    seed: int = 0,
    clusters: Mapping[str, Hashable] | None = None,
) -> Metric:
    """Krippendorff's alpha, 1 - observed / expected disagreement (Krippendorff 2011), with a bootstrap over what was rated.

    Each of two or more raters gives values by id, None or no entry being none. Two values disagree by 0 or 1 (`nominal`) or by
    their difference squared (`interval`, numbers only). Ids that fewer than two raters rate do not count but in `n_failed`.
    1 is full agreement, 0 is chance, and below it raters disagree more than chance would. Undefined where all values are one
    and the same. `n` counts ids; `clusters` gives each id's, and there is no interval with fewer than ten.
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
    return _bootstrap_statistic(
        sums, _alpha_nominal if level == "nominal" else _alpha_interval, len(units), n_failed, seed
    )


def _rated_by_both(labels: Mapping[str, Hashable], reference: Mapping[str, Hashable]) -> tuple[list[str], int]:
    """The ids to which both give something, and how many of those that theirs gives something to ours lacks."""
    known = [key for key, value in reference.items() if value is not None]
    keys = [key for key in known if labels.get(key) is not None]
    return keys, len(known) - len(keys)


def _bootstrap_statistic(sums: FloatArray, statistic: _Statistic, n: int, n_failed: int, seed: int) -> Metric:
    """The figure of all sums and its interval over draws of their rows, the clusters."""
    value = statistic(sums.sum(axis=0)[None, :])
    if not len(value):
        return undefined_metric(n, n_failed)
    if len(sums) < MIN_BOOTSTRAP_CLUSTERS:
        return Metric(value=float(value[0]), low=None, high=None, n=n, n_failed=n_failed)
    low, high = percentile_interval(statistic(resample_sums(sums, seed)), len(sums))
    return Metric(value=float(value[0]), low=low, high=high, n=n, n_failed=n_failed)


def _kappa_from_cells(cells: FloatArray) -> FloatArray:
    """Kappa of every row of a table's cells, read line by line, for which it is defined."""
    size = round(cells.shape[1] ** 0.5)
    tables = cells.reshape(-1, size, size)
    n = tables.sum(axis=(1, 2))
    chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1)
    same = np.trace(tables, axis1=1, axis2=2)
    defined = chance < n * n
    result: FloatArray = (n * same - chance)[defined] / (n * n - chance)[defined]
    return result


def _collect_ratings(raters: Sequence[Mapping[str, float | str | None]], key: str) -> list[float | str]:
    given = (rater.get(key) for rater in raters)
    return [value for value in given if value is not None]


def _nominal_columns(units: Sequence[Sequence[float | str]]) -> FloatArray:
    """A unit's observed disagreement, and how often each category occurs in it."""
    names = {name: place for place, name in enumerate(dict.fromkeys(value for unit in units for value in unit))}
    counts = np.zeros((len(units), len(names)))
    for place, unit in enumerate(units):
        for value in unit:
            counts[place, names[value]] += 1
    m = counts.sum(axis=1)
    observed = (m * m - (counts * counts).sum(axis=1)) / (m - 1)
    return np.column_stack([observed, counts])


def _alpha_nominal(sums: FloatArray) -> FloatArray:
    observed, counts = sums[:, 0], sums[:, 1:]
    n = counts.sum(axis=1)
    return _alpha(observed / n, (n * n - (counts * counts).sum(axis=1)) / (n * (n - 1)))


def _interval_columns(units: Sequence[Sequence[float | str]]) -> FloatArray:
    """A unit's observed disagreement, its number of values, their sum and the sum of their squares."""
    flat = [(place, value) for place, unit in enumerate(units) for value in unit]
    text = next((value for _, value in flat if isinstance(value, str)), None)
    if text is not None:
        raise ValueError(f"values must be numbers where level is interval, got {text!r}")
    which, values = np.array([place for place, _ in flat]), np.array([float(value) for _, value in flat])
    # Alpha does not change when all values move together; near zero their squares lose no digits.
    values = values - values.mean()
    m, total, squares = (np.bincount(which, weights=each) for each in (np.ones(len(flat)), values, values**2))
    observed = 2 * (m * squares - total**2) / (m - 1)
    return np.column_stack([observed, m, total, squares])


def _alpha_interval(sums: FloatArray) -> FloatArray:
    observed, n, total, squares = sums.T
    return _alpha(observed / n, 2 * (n * squares - total**2) / (n * (n - 1)))


def _alpha(observed: FloatArray, expected: FloatArray) -> FloatArray:
    defined = expected > _MIN_DISAGREEMENT
    return 1 - observed[defined] / expected[defined]
