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
from trimtab.models.packing.pair_batch import MIN_SHARED_TOKENS, BatchLayout, TokenizedPair
from trimtab.models.sources.download_cache import get_cache_dir

# To be raised where the engine's arithmetic changes, if only in the last bit.
NUMERICS_VERSION = 1
ENV_VARIABLE = "TRIMTAB_LOGPROB_CACHE"
DISABLED = "off"

ResponseLogprobSums = list[list[float]]


@dataclass(frozen=True, slots=True)
class CachedBatch:
    """Sums of a pass, shape (rows, 2), in nats, and the form in which the model read it."""

    layout: BatchLayout
    sums: ResponseLogprobSums


@dataclass(frozen=True, slots=True)
class LogprobCache:
    """Passes of one model, by key. `path` is the file that keeps them, None where nothing is kept."""

    path: Path | None
    entries: Mapping[str, CachedBatch]

    @classmethod
    def for_model(cls, identity: str) -> LogprobCache:
        """What is known of the model of this identity: a hash of its weights and of how they are computed with."""
        folder = get_logprob_cache_dir()
        if folder is None:
            return cls(None, {})
        libraries = [f"{name}={version(name)}" for name in ("torch", "transformers")]
        told = json.dumps([NUMERICS_VERSION, MIN_SHARED_TOKENS, identity, *libraries])
        path = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.jsonl"
        return cls(path, _load_entries(path))

    def get(self, rows: Sequence[TokenizedPair]) -> CachedBatch | None:
        return self.entries.get(_batch_key(rows)) if self.entries else None

    def add(self, rows: Sequence[TokenizedPair], made: CachedBatch) -> None:
        """Keeps a pass for later runs. Two processes may do so at one time. Raises `ModelError` where it cannot."""
        if self.path is None:
            return
        line = json.dumps({"key": _batch_key(rows), "layout": made.layout, "sums": made.sums}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")), self.path.open("a+b") as out:
                # behind a line that was cut short by a kill, a line of its own
                out.write((b"" if _ends_with_newline(out) else b"\n") + line.encode())
        except OSError as error:
            raise _access_error(self.path, error) from error


def get_logprob_cache_dir() -> Path | None:
    """Where tables lie: the folder that TRIMTAB_LOGPROB_CACHE names, or one in the cache folder; None where it says `off`."""
    named = os.environ.get(ENV_VARIABLE)
    if named == DISABLED:
        return None
    return Path(named).expanduser() if named else get_cache_dir() / "logprobs"


def _batch_key(rows: Sequence[TokenizedPair]) -> str:
    ids = [[row.prompt, row.first, row.second] for row in rows]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:32]


def _load_entries(path: Path) -> dict[str, CachedBatch]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _access_error(path, error) from error
    return {entry["key"]: CachedBatch(entry["layout"], entry["sums"]) for line in lines if (entry := _parse_line(line))}


def _access_error(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"cannot keep log-probabilities in {path}: {error.strerror}; set {ENV_VARIABLE} to a folder you own, or to {DISABLED}"
    )


def _parse_line(line: bytes) -> dict[str, Any] | None:
    """A line's content, None where it was cut short."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _ends_with_newline(file: Any) -> bool:
    if not file.seek(0, os.SEEK_END):
        return True
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
