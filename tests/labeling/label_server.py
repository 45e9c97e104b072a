"""The labeling page as a process of its own, for tests that kill it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LabelServer = subprocess.Popen[str]


@contextmanager
def run_label_server(pool: Path, *arguments: str) -> Iterator[tuple[LabelServer, str]]:
    """`trimtab label` with the folder `out` next to the pool, and the link that it printed. It is killed at exit."""
    command = [sys.executable, "-m", "trimtab", "label", str(pool), "--out", str(pool.parent / "out"), *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=pool.parent
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.search(r"http://\S+", line)
        assert match, line + process.communicate()[1]
        yield process, match[0]
    finally:
        process.kill()
        process.communicate()
