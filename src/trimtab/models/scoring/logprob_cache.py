"""A cache of response log-probabilities on disk, shared by all runs.

An entry is one batch: its pairs and the sums of their responses. The key covers everything that affects the sums, to the
last bit, including the other pairs in the batch. A run therefore gives the same bytes with or without the cache.
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
from trimtab.storage.line_checksums import decode_line, encode_line

# Bump when a change of the code affects the results, even if only in the last bit.
NUMERICS_VERSION = 1
ENV_VARIABLE = "TRIMTAB_LOGPROB_CACHE"
DISABLED = "off"

ResponseLogprobSums = list[list[float]]


@dataclass(frozen=True, slots=True)
class CachedBatch:
    """Summed log-probabilities of a batch, shape (pairs, 2), in nats, and the layout of the batch."""

    layout: BatchLayout
    sums: ResponseLogprobSums


@dataclass(frozen=True, slots=True)
class LogprobCache:
    """Cached batches of one model, by key. `path` is the cache file, or None if the cache is disabled."""

    path: Path | None
    entries: Mapping[str, CachedBatch]

    @classmethod
    def for_model(cls, content_hash: str) -> LogprobCache:
        """Open the cache of a model. `content_hash` must cover its weights and how they are computed with."""
        folder = get_logprob_cache_dir()
        if folder is None:
            return cls(None, {})
        libraries = [f"{name}={version(name)}" for name in ("torch", "transformers")]
        key = json.dumps([NUMERICS_VERSION, MIN_SHARED_TOKENS, content_hash, *libraries])
        path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.jsonl"
        return cls(path, _load_entries(path))

    def get(self, pairs: Sequence[TokenizedPair]) -> CachedBatch | None:
        """The cached batch with exactly these pairs, or None."""
        return self.entries.get(_batch_key(pairs)) if self.entries else None

    def add(self, pairs: Sequence[TokenizedPair], batch: CachedBatch) -> None:
        """Append a batch. Safe with concurrent processes. Raises `ModelError` if the file cannot be written."""
        if self.path is None:
            return
        entry = {"key": _batch_key(pairs), "layout": batch.layout, "sums": batch.sums}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")), self.path.open("a+b") as out:
                # start a new line after a line that a kill truncated
                out.write((b"" if _ends_with_newline(out) else b"\n") + encode_line(entry, self.path.name))
        except OSError as error:
            raise _access_error(self.path, error) from error


def get_logprob_cache_dir() -> Path | None:
    """The folder in TRIMTAB_LOGPROB_CACHE, by default `logprobs` in the cache folder. None if it is `off`."""
    value = os.environ.get(ENV_VARIABLE)
    if value == DISABLED:
        return None
    return Path(value).expanduser() if value else get_cache_dir() / "logprobs"


def _batch_key(pairs: Sequence[TokenizedPair]) -> str:
    ids = [[pair.prompt, pair.first, pair.second] for pair in pairs]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:32]


def _load_entries(path: Path) -> dict[str, CachedBatch]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _access_error(path, error) from error
    entries = (entry for line in lines if (entry := _parse_line(line, path.name)))
    return {entry["key"]: CachedBatch(entry["layout"], entry["sums"]) for entry in entries}


def _access_error(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"cannot cache log-probabilities in {path}: {error.strerror}; set {ENV_VARIABLE} to a writable folder, or to {DISABLED}"
    )


def _parse_line(line: bytes, file_name: str) -> dict[str, Any] | None:
    """The entry of a line, or None if the line is truncated, damaged or of another file: its batch is computed again."""
    try:
        return decode_line(line, file_name)
    except ValueError:
        return None


def _ends_with_newline(file: Any) -> bool:
    if not file.seek(0, os.SEEK_END):
        return True
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")
