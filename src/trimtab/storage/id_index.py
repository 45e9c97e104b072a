"""Positions of ids in a sequence, in 24 bytes per id: a dictionary of texts needs more than 200."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16
# The NumPy type of a digest.
DIGEST_TYPE = f"S{DIGEST_BYTES}"


def hash_ids(ids: Iterable[str]) -> NDArray[np.bytes_]:
    """A digest of 16 bytes for each id."""
    digests = bytearray()
    for item_id in ids:
        digests += hash_id(item_id)
    return np.frombuffer(digests, dtype=DIGEST_TYPE)


def hash_id(item_id: str) -> bytes:
    """A digest of 16 bytes. The id of a pair or of a prompt is one already, in hexadecimal digits."""
    if len(item_id) == 2 * DIGEST_BYTES:
        try:
            digest = bytes.fromhex(item_id)
        except ValueError:
            digest = b""
        if digest.hex() == item_id:
            return digest
    return hashlib.blake2b(item_id.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


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

    def get_all(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """The positions of many ids. Raises `KeyError` if one of them has none."""
        digests = hash_ids(item_ids)
        places = np.searchsorted(self._digests, digests)
        is_found = places < len(self._digests)
        is_found[is_found] = self._digests[places[is_found]] == digests[is_found]
        if not is_found.all():
            raise KeyError(int(np.flatnonzero(~is_found)[0]))
        return self._positions[places]

    def find(self, item_id: str) -> int | None:
        """The position of the id; None if there is none."""
        digest = np.frombuffer(hash_id(item_id), dtype=self._digests.dtype)
        place = int(np.searchsorted(self._digests, digest)[0])
        if place == len(self._digests) or self._digests[place] != digest[0]:
            return None
        return int(self._positions[place])
