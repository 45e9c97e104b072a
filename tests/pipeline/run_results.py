"""Compares the results of runs, and waits for those of other processes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def list_results(folder: Path) -> dict[str, str]:
    """Hashes of all tables and weights in the stage folders."""
    paths = [path for suffix in ("parquet", "safetensors") for path in (folder / "stages").rglob(f"*.{suffix}")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if "checkpoint-" not in str(path)
    }


def wait_until(condition: Callable[[], Any], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)
