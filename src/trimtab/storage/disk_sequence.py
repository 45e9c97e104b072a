"""Sequences that hold no values in memory: values in a temporary file, and values of another sequence by position."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Generic, NoReturn, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from trimtab.storage.disk_errors import translate_os_errors

T = TypeVar("T")
U = TypeVar("U")
Positions = NDArray[np.int64]
# Bytes of values that are held in memory before a file is created.
MAX_MEMORY = 2**23
# Bytes that are read at once if values are read in order, and positions that are Python numbers at the same time.
READ_AHEAD, POSITIONS_PER_BATCH = 2**18, 4096


class LazySequence(Sequence[T]):
    """The values at `positions`, in this order. `get_value` computes a value from its position whenever it is read."""

    def __init__(self, get_value: Callable[[int], T], positions: Positions) -> None:
        self._get_value, self._positions = get_value, positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> LazySequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | LazySequence[T]:
        if isinstance(index, slice):
            return LazySequence(self._get_value, self._positions[index])
        return self._get_value(int(self._positions[index]))

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self._positions), POSITIONS_PER_BATCH):
            yield from map(self._get_value, self._positions[start : start + POSITIONS_PER_BATCH].tolist())

    def __eq__(self, other: object) -> bool:
        """Whether the other sequence, of any type, has equal values."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} values>"


def select_values(values: Sequence[T], positions: Sequence[int] | Positions) -> LazySequence[T]:
    """The values at these positions, which are read from `values` on access."""
    return LazySequence(values.__getitem__, np.asarray(positions, dtype=np.int64))


def map_values(values: Sequence[U], convert: Callable[[U], T]) -> LazySequence[T]:
    """The converted values. Each is read and converted on access."""
    return LazySequence(lambda position: convert(values[position]), np.arange(len(values), dtype=np.int64))


def join_sequences(sequences: Sequence[Sequence[T]]) -> LazySequence[T]:
    """The values of all sequences, one after the other, which are read from them on access."""
    starts = list(accumulate(map(len, sequences), initial=0))

    def get_value(position: int) -> T:
        number = bisect_right(starts, position) - 1
        return sequences[number][position - starts[number]]

    return LazySequence(get_value, np.arange(starts[-1], dtype=np.int64))


class DiskSequence(Generic[T]):
    """Values in a temporary file, by position. Only the end of each one, 8 bytes, is in memory.

    The file has no name and is deleted with the object. It is in the folder for temporary files, which `TMPDIR` changes.
    """

    def __init__(self, encode: Callable[[T], bytes], decode: Callable[[bytes], T]) -> None:
        self._encode, self._decode = encode, decode
        self._ends = array("q", [0])
        self._file = tempfile.SpooledTemporaryFile(MAX_MEMORY)  # noqa: SIM115 - closed with this object
        self._is_at_end = True
        # The bytes that were read last.
        self._window, self._window_start = b"", 0
        self._lock = threading.Lock()
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, value: T) -> None:
        """Raises `StoreError` if the disk is full."""
        data = self._encode(value)
        try:
            with self._lock:
                if not self._is_at_end:
                    self._file.seek(0, os.SEEK_END)
                self._file.write(data)
                self._is_at_end = True
        except OSError as error:
            _raise_disk_error(error)
        self._ends.append(self._ends[-1] + len(data))

    def read(self, position: int) -> T:
        start, stop = self._ends[position], self._ends[position + 1]
        with self._lock:
            if not self._window_start <= start <= stop <= self._window_start + len(self._window):
                self._read_window(start, stop)
            offset = start - self._window_start
            data = self._window[offset : offset + stop - start]
        return self._decode(data)

    def _read_window(self, start: int, stop: int) -> None:
        """Reads these bytes, and those after them if the bytes were read in order so far."""
        is_next = self._window_start <= start < self._window_start + len(self._window) + READ_AHEAD
        try:
            self._is_at_end = False
            self._file.seek(start)
            self._window = self._file.read(max(stop - start, READ_AHEAD if is_next else 0))
        except OSError as error:  # what was written last can still be in a buffer
            _raise_disk_error(error)
        self._window_start = start

    def as_sequence(self) -> LazySequence[T]:
        return LazySequence(self.read, np.arange(len(self), dtype=np.int64))


def _raise_disk_error(error: OSError) -> NoReturn:
    with translate_os_errors(Path(tempfile.gettempdir()), "set TMPDIR to another folder"):
        raise error
    raise error
