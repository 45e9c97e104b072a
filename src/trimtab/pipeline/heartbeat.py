"""The heartbeat file of a distributed run: whether its main process is alive, and which stage it executes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.errors import StoreError
from trimtab.storage.atomic import atomic_write_text

HEARTBEAT_FILE = "run.heartbeat"
HEARTBEAT_SECONDS = 5.0
# The other processes give up after this time without a heartbeat of the main process.
MAX_SILENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The heartbeat file, for the main process."""

    path: Path

    def announce(self, fingerprint: str) -> None:
        """Tells the other processes which stage this one executes from now on."""
        atomic_write_text(self.path, fingerprint)


@contextmanager
def heartbeat(folder: Path, interval: float = HEARTBEAT_SECONDS) -> Iterator[Heartbeat]:
    """Writes the heartbeat file of the run, updates it regularly from a thread, and deletes it at the end."""
    signal, stopped = Heartbeat(folder / HEARTBEAT_FILE), threading.Event()
    signal.announce("")

    def beat() -> None:
        while not stopped.wait(interval):
            # the stage gives an error if the folder is gone, and the others end without a heartbeat
            with suppress(OSError):
                os.utime(signal.path)

    thread = threading.Thread(target=beat, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield signal
    finally:
        stopped.set()
        thread.join()
        signal.path.unlink(missing_ok=True)


@contextmanager
def no_heartbeat(folder: Path) -> Iterator[None]:
    """For a run of a single process: deletes the file of a distributed run that was killed, so that others can join."""
    (folder / HEARTBEAT_FILE).unlink(missing_ok=True)
    yield


@dataclass(kw_only=True)
class MainProcess:
    """The main process of a distributed run, as the other processes see it.

    A heartbeat file that exists at the start can be that of a killed run, so it counts only after it was updated. Times of
    updates are only compared with each other: the clocks of two hosts differ.
    """

    folder: Path
    max_silence: float = MAX_SILENCE_SECONDS
    _last_update: int | None = field(init=False)
    _last_change: float = field(init=False, default_factory=time.monotonic)
    _is_known: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._last_update = _read_update_time(self.folder)

    def find_stage(self) -> str | None:
        """The fingerprint of the stage that it executes, or an empty text before the first one. None if it has ended.

        Raises `StoreError` after `max_silence` seconds without a heartbeat.
        """
        update = _read_update_time(self.folder)
        if update is None and self._is_known:
            return None
        if update not in (None, self._last_update):
            self._last_update, self._last_change, self._is_known = update, time.monotonic(), True
        elif time.monotonic() - self._last_change > self.max_silence:
            raise StoreError(
                f"the main process of {self.folder} gave no sign of life for {self.max_silence:g} seconds, so this process "
                "stops; look at the main process's error and run the study again"
            )
        if not self._is_known:
            return ""
        try:
            return (self.folder / HEARTBEAT_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None


def is_trained_by_several_processes(folder: Path) -> bool:
    """Whether the main process of a distributed run is alive."""
    update = _read_update_time(folder)
    return update is not None and time.time() - update / 1e9 < MAX_SILENCE_SECONDS


def _read_update_time(folder: Path) -> int | None:
    """Nanoseconds since the epoch, or None without a heartbeat file."""
    try:
        return (folder / HEARTBEAT_FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return None
