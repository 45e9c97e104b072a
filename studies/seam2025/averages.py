"""Averages over datasets, each of which counts equally, as values per pair: every statistic of means applies to them.

A mean m of n values changes by (v - m) / n with each value v. If a mean of N values is to change in the same way, each of them
is m + (v - m) N / n. Means, differences of means and their covariances over clusters then stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

Values = Mapping[str, float]


def spread_over_keys(values: Values, keys: Collection[str]) -> dict[str, float]:
    """Values for all `keys`, of which `values` has some, with the same mean and the same variance of the mean."""
    if len(values) == len(keys):
        return dict(values)
    mean, scale = math.fsum(values.values()) / len(values), len(keys) / len(values)
    return {key: mean + scale * (values[key] - mean) if key in values else mean for key in keys}


def average_over_datasets(datasets: Sequence[Values]) -> dict[str, float]:
    """Values whose mean is the average of the datasets' means. No key may be in two datasets."""
    keys = [key for values in datasets for key in values]
    spread = [spread_over_keys(values, keys) for values in datasets]
    return {key: math.fsum(values[key] for values in spread) / len(spread) for key in keys}
