"""Parsed rows on disk, and the distinct pairs among them."""

from __future__ import annotations

import heapq
import marshal
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.data.parsing.row_origins import RowOrigins
from trimtab.storage.disk_sequence import DiskSequence, LazySequence, Positions
from trimtab.storage.id_index import DIGEST_BYTES, DIGEST_TYPE, hash_id
from trimtab.types import Choice, FailureKind, Message, Pair, RowFailure, RowOrigin

# A label is one byte: its position here.
_LABELS: tuple[Choice | None, ...] = (None, "a", "b")
_NO_LABEL, _LABEL_A, _LABEL_B = range(3)


@dataclass(slots=True, kw_only=True)
class PairRow:
    """`is_guess`: the row has neither a prompt nor turns, so whether it starts with a prompt depends on the other rows."""

    location: str
    pair: Pair
    origin: RowOrigin | None = None
    is_guess: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DistinctPairs:
    """Each pair once, in the order of the rows, the origins of its rows, and every other row as a failure."""

    pairs: LazySequence[Pair]
    origins: LazySequence[RowOrigin]
    failures: list[RowFailure]


class PairRows:
    """Rows in order, of which 38 bytes each are in memory, and all failures."""

    def __init__(self) -> None:
        self._rows = DiskSequence[tuple[Any, ...]](_encode_values, _decode_values)
        self._digests, self._labels, self._guesses = (bytearray() for _ in range(3))
        self._origins = RowOrigins()
        # With the number of rows before it.
        self._failures: list[tuple[int, RowFailure]] = []

    def __len__(self) -> int:
        """The number of rows and failures."""
        return len(self._rows) + len(self._failures)

    def append(self, row: PairRow | RowFailure) -> None:
        if isinstance(row, RowFailure):
            self._failures.append((len(self._rows), row))
            return
        self._rows.append(_list_values(row))
        self._digests += hash_id(row.pair.id)
        self._labels.append(_LABELS.index(row.pair.human))
        self._guesses.append(row.is_guess)
        self._origins.append(row.origin)

    def select_distinct(self, guess_problem: str = "") -> DistinctPairs:
        """Keeps each pair once. A label overrides a missing one; opposite labels make every row of the pair a failure.

        With `guess_problem`, rows that are guesses are failures with this reason.
        """
        is_guess = _as_flags(self._guesses) if guess_problem else np.zeros(len(self._rows), dtype=np.bool_)
        is_first, is_opposite, labels = self._group_rows(np.flatnonzero(~is_guess))
        is_duplicate = ~(is_guess | is_opposite | is_first)
        failures: list[tuple[int, RowFailure]] = []
        for position in np.flatnonzero(~is_first | is_opposite):
            if is_guess[position]:
                failure = self._build_failure(int(position), guess_problem)
            elif is_opposite[position]:
                failure = self._build_failure(int(position), "duplicate pair with opposite labels")
            else:
                failure = self._build_failure(int(position), "duplicate pair", "duplicate")
            failures.append((int(position), failure))
        kept = is_first & ~is_opposite
        return DistinctPairs(
            pairs=LazySequence(lambda position: self._read_pair(position, labels), np.flatnonzero(kept)),
            origins=LazySequence(self._read_origin, np.flatnonzero((kept | is_duplicate) & self._origins.list_rows())),
            failures=[failure for _, failure in heapq.merge(self._failures, failures, key=lambda each: each[0])],
        )

    def _group_rows(self, usable: Positions) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.uint8]]:
        """For every row: is it the first usable one of its pair, has its pair opposite labels, and the label of its pair."""
        digests, labels = np.frombuffer(self._digests, DIGEST_TYPE), np.frombuffer(self._labels, np.uint8)
        ordered = usable[np.argsort(digests[usable], kind="stable")]
        starts = np.ones(len(ordered), dtype=np.bool_)
        starts[1:] = digests[ordered[1:]] != digests[ordered[:-1]]
        groups = np.cumsum(starts) - 1
        has_a, has_b = (np.bincount(groups, labels[ordered] == label) > 0 for label in (_LABEL_A, _LABEL_B))
        label_of_group = np.where(has_a, _LABEL_A, np.where(has_b, _LABEL_B, _NO_LABEL)).astype(np.uint8)
        is_first, is_opposite = (np.zeros(len(digests), dtype=np.bool_) for _ in range(2))
        pair_labels = np.zeros(len(digests), dtype=np.uint8)
        is_first[ordered] = starts
        is_opposite[ordered] = (has_a & has_b)[groups]
        pair_labels[ordered] = label_of_group[groups]
        return is_first, is_opposite, pair_labels

    def _read_pair(self, position: int, labels: NDArray[np.uint8]) -> Pair:
        pair_id, turns, a, b, _ = self._rows.read(position)
        prompt = tuple([Message(role=role, content=content) for role, content in turns])
        return Pair(id=pair_id, prompt=prompt, a=a, b=b, human=_LABELS[labels[position]])

    def _read_origin(self, position: int) -> RowOrigin:
        # the id of a pair that was parsed from a row is its digest
        digest = self._digests[DIGEST_BYTES * position : DIGEST_BYTES * (position + 1)]
        return self._origins.read(position, digest.hex())

    def _build_failure(self, position: int, reason: str, kind: FailureKind = "failed") -> RowFailure:
        *_, location = self._rows.read(position)
        file, number = self._origins.read_place(position)
        return RowFailure(location=location, reason=reason, kind=kind, file=file, row=number)


def _as_flags(flags: bytearray) -> NDArray[np.bool_]:
    return np.frombuffer(flags, np.bool_)


def _list_values(row: PairRow) -> tuple[Any, ...]:
    pair = row.pair
    turns = [(message.role, message.content) for message in pair.prompt]
    return pair.id, turns, pair.a, pair.b, row.location


def _encode_values(values: tuple[Any, ...]) -> bytes:
    return marshal.dumps(values)


def _decode_values(data: bytes) -> tuple[Any, ...]:
    values: tuple[Any, ...] = marshal.loads(data)  # noqa: S302 - written by this process
    return values
