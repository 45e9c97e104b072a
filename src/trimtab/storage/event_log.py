"""An append-only JSONL log of events: each is on the disk before `append` returns."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import filelock

from trimtab.errors import StoreError
from trimtab.storage.atomic import flush_to_disk
from trimtab.storage.disk_errors import translate_os_errors
from trimtab.storage.line_checksums import decode_line, encode_line


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event and its line, counted from 1."""

    line: int
    event: Mapping[str, Any]


class EventLog:
    """Events in the file `path`, oldest first.

    Every line has a checksum. A truncated last line, left by a kill, was never confirmed and is discarded. Not frozen: it
    keeps the number of bytes of complete lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._num_bytes = 0

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the file for this process. Raises `StoreError` if another process holds it."""
        with translate_os_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=0)
            try:
                lock.acquire()
            except filelock.Timeout as error:
                raise StoreError(f"{self.path} is in use by another process; stop that one first") from error
        try:
            yield
        finally:
            lock.release()

    def read(self) -> list[LoggedEvent]:
        """All events; none if there is no file. Raises `StoreError` with the line for a damaged one."""
        with translate_os_errors(self.path.parent):
            data = self.path.read_bytes() if self.path.is_file() else b""
        lines = data.split(b"\n")[:-1]
        events = [LoggedEvent(number, self._decode(line, number)) for number, line in enumerate(lines, start=1)]
        self._num_bytes = sum(len(line) + 1 for line in lines)
        return events

    def append(self, event: Mapping[str, Any]) -> None:
        """Adds an event. Raises `StoreError` if it is not on the disk, for example if that is full; the file is then unchanged.

        `read` must be called first.
        """
        line = encode_line(event, self.path.name)
        with translate_os_errors(self.path.parent):
            with self.path.open("ab", buffering=0) as file:
                if os.fstat(file.fileno()).st_size < self._num_bytes:
                    raise StoreError(
                        f"{self.path} was shortened or replaced while it was in use; run the same command again"
                    )
                # removes a truncated line, or one whose write failed
                file.truncate(self._num_bytes)
                try:
                    _write_fully(file, line)
                except OSError:
                    file.truncate(self._num_bytes)
                    raise
            if self._num_bytes == 0:
                flush_to_disk([self.path])
        self._num_bytes += len(line)

    def _decode(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            return decode_line(line, self.path.name)
        except ValueError as error:
            raise StoreError(
                f"{self.path}:{number}: the event is damaged ({error}); restore the file from a copy, or delete this "
                "line to lose only this event"
            ) from error


def _write_fully(file: FileIO, line: bytes) -> None:
    """Returns when the line is on the disk. Raises `OSError` if there is space for only a part of it."""
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())
