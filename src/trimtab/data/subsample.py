"""Some rows of many, where not all are asked about."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.types import text_hash


def subsample_ids(ids: Sequence[str], count: int | None, *, shuffle: bool) -> list[str]:
    """The first `count` ids, all where it is None; with `draw`, the first by their own hash and in its order.

    Rows that were drawn already are as good as drawn in their order; those of a file may be sorted, and then its beginning
    speaks of its beginning alone. An id's place depends on nothing else, so that a larger `count` only adds.
    """
    ordered = sorted(ids, key=lambda each: text_hash("drawn", each)) if shuffle else ids
    return list(ordered[:count])
