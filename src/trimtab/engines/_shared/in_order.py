"""Collects results that arrive out of order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def collect_in_order(batches: Iterable[Mapping[int, T]]) -> list[T]:
    """The results of all batches ordered by index. The indices must be exactly 0 to n - 1."""
    results = {index: result for batch in batches for index, result in batch.items()}
    return [results[index] for index in range(len(results))]
