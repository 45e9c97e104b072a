"""Positions of ids in a sequence, in 24 bytes per id: a dictionary of texts needs more than 200."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_DIGEST_BYTES = 16
# The NumPy type of a digest.
DIGEST_TYPE = f"S{_DIGEST_BYTES}"


def hash_ids(ids: Iterable[str]) -> NDArray[np.bytes_]:
    """A digest of 16 bytes for each id."""
    digests = bytearray()
    for item_id in ids:
        digests += hash_id(item_id)
    return np.frombuffer(digests, dtype=DIGEST_TYPE)


def hash_id(item_id: str) -> bytes:
    return hashlib.blake2b(item_id.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def find_first_and_last(digests: NDArray[np.bytes_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions of the first and of the last occurrence of each distinct digest, in the order of the digests."""
    ordered = np.argsort(digests, kind="stable")
    changes = np.flatnonzero(digests[ordered[1:]] != digests[ordered[:-1]])
    starts = np.concatenate([[0], changes + 1]) if len(ordered) else changes
    ends = np.concatenate([changes, [len(ordered) - 1]]) if len(ordered) else changes
    return ordered[starts], ordered[ends]


class IdIndex:
    """The first position of each id."""

    def __init__(self, ids: Iterable[str]) -> None:
        digests = hash_ids(ids)
        self._positions = np.argsort(digests, kind="stable")
        self._digests = digests[self._positions]

    def __contains__(self, item_id: str) -> bool:
        return self.find(item_id) is not None

    def get(self, item_id: str) -> int:
        """The position of the id. Raises `KeyError` if there is none."""
        position = self.find(item_id)
        if position is None:
            raise KeyError(item_id)
        return position

    def find(self, item_id: str) -> int | None:
        """The position of the id; None if there is none."""
        digest = np.frombuffer(hash_id(item_id), dtype=self._digests.dtype)
        place = int(np.searchsorted(self._digests, digest)[0])
        if place == len(self._digests) or self._digests[place] != digest[0]:
            return None
        return int(self._positions[place])
