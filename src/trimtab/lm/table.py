"""Log-probabilities that were read before, on disk, for every run that asks for the same ones.

What is kept is a pass of the model: its rows, and the sums of their responses. Its key is all that the sums depend on to
the last bit, the company of a row in its pass with it, so that a run gives the same bytes whether the table is there or not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from trimtab.errors import ModelError
from trimtab.lm.cache import cache_folder
from trimtab.lm.rows import LEAST_SHARED, Form, Row

# To be raised where the engine's arithmetic changes, if only in the last bit.
ARITHMETIC = 1
VARIABLE = "TRIMTAB_TABLE"
OFF = "off"

Sums = list[list[float]]


@dataclass(frozen=True, slots=True)
class Pass:
    """Sums of a pass, shape (rows, 2), in nats, and the form in which the model read it."""

    form: Form
    sums: Sums


@dataclass(frozen=True, slots=True)
class Table:
    """Passes of one model, by key. `path` is the file that keeps them, None where nothing is kept."""

    path: Path | None
    known: Mapping[str, Pass]

    @classmethod
    def of(cls, identity: str) -> Table:
        """What is known of the model of this identity: a hash of its weights and of how they are computed with."""
        folder = table_folder()
        if folder is None:
            return cls(None, {})
        libraries = [f"{name}={version(name)}" for name in ("torch", "transformers")]
        told = json.dumps([ARITHMETIC, LEAST_SHARED, identity, *libraries])
        path = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.jsonl"
        return cls(path, _read(path))

    def find(self, rows: Sequence[Row]) -> Pass | None:
        return self.known.get(_key(rows)) if self.known else None

    def add(self, rows: Sequence[Row], made: Pass) -> None:
        """Keeps a pass for later runs. Two processes may do so at one time. Raises `ModelError` where it cannot."""
        if self.path is None:
            return
        line = json.dumps({"key": _key(rows), "form": made.form, "sums": made.sums}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")), self.path.open("a+b") as out:
                # behind a line that was cut short by a kill, a line of its own
                out.write((b"" if _ends_whole(out) else b"\n") + line.encode())
        except OSError as error:
            raise _refused(self.path, error) from error


def table_folder() -> Path | None:
    """Where tables lie: the folder that TRIMTAB_TABLE names, or one in the cache folder; None where it says `off`."""
    named = os.environ.get(VARIABLE)
    if named == OFF:
        return None
    return Path(named).expanduser() if named else cache_folder() / "logprobs"


def _key(rows: Sequence[Row]) -> str:
    ids = [[row.prompt, row.first, row.second] for row in rows]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, Pass]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _refused(path, error) from error
    return {entry["key"]: Pass(entry["form"], entry["sums"]) for line in lines if (entry := _entry(line))}


def _refused(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"cannot keep log-probabilities in {path}: {error.strerror}; set {VARIABLE} to a folder you own, or to {OFF}"
    )


def _entry(line: bytes) -> dict[str, Any] | None:
    """A line's content, None where it was cut short."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _ends_whole(file: Any) -> bool:
    if not file.seek(0, os.SEEK_END):
        return True
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
