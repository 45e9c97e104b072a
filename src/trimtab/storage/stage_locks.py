"""Locks that let several processes share the stages of one run. The operating system releases those of a killed process."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from trimtab.storage.disk_errors import translate_os_errors

STAGE_LOCKS_DIR = "locks"


@dataclass(frozen=True, slots=True)
class StageLocks:
    """One lock file per name, in the folder `locks` of the run folder `root`."""

    root: Path

    @contextmanager
    def try_acquire(self, names: Collection[str]) -> Iterator[bool]:
        """Acquires all locks or none, without waiting. Yields whether they were acquired."""
        with ExitStack() as acquired:
            yield self._acquire(names, acquired)

    def is_held(self, name: str) -> bool:
        """Whether another process holds the lock."""
        with self.try_acquire([name]) as is_acquired:
            return not is_acquired

    def _acquire(self, names: Collection[str], acquired: ExitStack) -> bool:
        folder = self.root / STAGE_LOCKS_DIR
        with translate_os_errors(folder):
            folder.mkdir(exist_ok=True)
            try:
                for name in sorted(names):
                    acquired.enter_context(filelock.FileLock(folder / f"{name}.lock", timeout=0))
            except filelock.Timeout:
                acquired.close()
                return False
        return True
