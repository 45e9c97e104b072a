"""Excludes the pairs of a dataset whose prompts occur elsewhere, and counts them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trimtab.data.parsing.dataset_builder import select_origins
from trimtab.data.split import normalized_prompt_hash
from trimtab.errors import DataError
from trimtab.storage.disk_sequence import select_values
from trimtab.storage.id_index import IdIndex
from trimtab.types import Dataset, Pair, RowFailure


def exclude_prompts(dataset: Dataset, others: Iterable[Pair], where: str, remedy: str) -> Dataset:
    """The dataset without pairs whose prompt is that of one of `others`, ignoring case and white space.

    Excluded pairs become failures of the kind `excluded`; `where` is the place that has their prompts. Raises `DataError`
    with the remedy if no pair remains.
    """
    excluded_prompts = IdIndex(normalized_prompt_hash(pair.prompt) for pair in others)
    is_excluded = np.fromiter(
        (normalized_prompt_hash(pair.prompt) in excluded_prompts for pair in dataset.pairs), dtype=np.bool_
    )
    if is_excluded.all():
        raise DataError(f"the prompts of all {len(dataset.pairs)} pairs occur in {where}; {remedy}")
    remaining = select_values(dataset.pairs, np.flatnonzero(~is_excluded))
    failures = (
        RowFailure(location=f"pair {pair.id}", reason=f"prompt occurs in {where}", kind="excluded")
        for pair in select_values(dataset.pairs, np.flatnonzero(is_excluded))
    )
    return Dataset(
        pairs=remaining,
        failures=(*dataset.failures, *failures),
        layout=dataset.layout,
        notices=dataset.notices,
        origins=select_origins(dataset.origins, remaining),
    )
