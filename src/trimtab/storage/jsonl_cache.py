"""An append-only JSONL cache for expensive values, with any number of processes that write to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import filelock

from trimtab.storage.disk_errors import translate_os_errors
from trimtab.storage.line_checksums import decode_line, encode_line

Value = TypeVar("Value")

_LOCK_POLL_SECONDS = 0.01


class JsonlCache(Generic[Value]):
    """Values by key in one append-only file; added values are on disk at once, and the first value of a key wins.

    Values are Python JSON, which includes infinity. `parse` converts JSON to a value, and raises an error if it is not valid.
    A line that is damaged or has no valid value counts as missing: `report_skipped` is called with the number of such lines,
    and a later line may have the value. A truncated last line, left by a kill, is discarded. Several instances, also in other
    processes, may share a file: each reads what the others have added, and a lock next to the file orders their writes. Not
    frozen: it keeps the byte offset of each value and the number of bytes scanned.
    """

    def __init__(
        self, path: Path, parse: Callable[[Any], Value], report_skipped: Callable[[int], None] = lambda count: None
    ) -> None:
        self.path = path
        self._parse = parse
        self._report_skipped = report_skipped
        self._offsets: dict[str, int] = {}
        self._scanned_bytes = 0

    def get_many(self, keys: Sequence[str]) -> dict[str, Value]:
        """Returns the values of the keys that have one, including those that other processes added."""
        with translate_os_errors(self.path.parent):
            if not self.path.is_file():
                return {}
            with self._lock():
                return self._read_values(keys)

    def put_many(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """Adds the values. Returns those of keys that another process added first: they win, and their new value is dropped."""
        if not values:
            return {}
        with translate_os_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock():
                existing = self._read_values(values)
                self._append({key: value for key, value in values.items() if key not in existing})
                return existing

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Waits for the lock of the file, which the operating system releases if its process is killed."""
        lock = filelock.FileLock(self.path.with_suffix(".lock"))
        lock.acquire(poll_interval=_LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def _read_values(self, keys: Iterable[str]) -> dict[str, Value]:
        self._scan_new_lines()
        offsets = {key: self._offsets[key] for key in keys if key in self._offsets}
        if not offsets:
            return {}
        found: dict[str, Value] = {}
        with self.path.open("rb") as file:
            for key, offset in offsets.items():
                file.seek(offset)
                entry = self._read_line(file.readline())
                if entry is not None and entry[0] == key:
                    found[key] = entry[1]
        return found

    def _append(self, values: Mapping[str, Any]) -> None:
        """Replaces a truncated last line: its writer was killed, since this process holds the lock."""
        lines = [encode_line({"key": key, "value": value}, self.path.name) for key, value in values.items()]
        if not lines:
            return
        with self.path.open("ab") as out:
            out.truncate(self._scanned_bytes)
            out.write(b"".join(lines))
        for key, line in zip(values, lines, strict=True):
            self._offsets[key] = self._scanned_bytes
            self._scanned_bytes += len(line)

    def _scan_new_lines(self) -> None:
        """Indexes lines added by this or another instance since the last scan, up to an incomplete line."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < self._scanned_bytes:  # it was deleted or replaced
            self._offsets, self._scanned_bytes = {}, 0
        if size == self._scanned_bytes:
            return
        skipped = 0
        with self.path.open("rb") as file:
            file.seek(self._scanned_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                entry = self._read_line(line)
                if entry is None:
                    skipped += 1
                else:
                    self._offsets.setdefault(entry[0], self._scanned_bytes)
                self._scanned_bytes += len(line)
        if skipped:
            self._report_skipped(skipped)

    def _read_line(self, line: bytes) -> tuple[str, Value] | None:
        """The key and the value; None if the line is damaged or its value is invalid."""
        try:
            entry = decode_line(line, self.path.name)
            if set(entry) != {"key", "value"}:
                return None
            return str(entry["key"]), self._parse(entry["value"])
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            return None
