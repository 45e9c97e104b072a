"""Deterministic subsampling by id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from trimtab.storage.disk_sequence import Positions
from trimtab.types import text_hash


def subsample_ids(ids: Sequence[str], count: int | None, *, shuffle: bool) -> list[str]:
    """The first `count` ids, or all if it is None. With `shuffle`, ids are first sorted by their own hash.

    Shuffle ids that are in the order of a file, which may be sorted. Ids that were sampled already need no shuffling. The
    position of an id depends on that id alone, so that a larger `count` only adds ids.
    """
    ordered = sorted(ids, key=lambda item_id: text_hash("drawn", item_id)) if shuffle else ids
    return list(ordered[:count])


def order_by_hash(ids: Iterable[str], salt: str) -> Positions:
    """The positions of the ids in the order of the hashes of `salt` and each id."""
    hashes = bytearray()
    for item_id in ids:
        hashes += bytes.fromhex(text_hash(salt, item_id))
    return np.argsort(np.frombuffer(hashes, dtype="S16"), kind="stable")
