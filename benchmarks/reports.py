"""Writes the report of a synthetic run in a separate process: `python -m benchmarks.reports TASK` prints a line of JSON.

A task is a JSON object with the folder of the run, created by `build_run`. Does not import torch.
"""

from __future__ import annotations

import json
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any

RUN_FACTORY = Path(__file__).parents[1] / "tests" / "report" / "large_run.py"
WORDS_PER_TEXT = 60


def build_run(folder: Path, pairs: int, prompts: int) -> Path:
    """A run with this many unlabeled pairs, and test prompts with one pair each: the arms of a study, without training."""
    make: Any = runpy.run_path(str(RUN_FACTORY))["create_large_run"]
    return Path(make(folder, pairs, prompts, words=WORDS_PER_TEXT))


def main(task: dict[str, Any]) -> dict[str, float]:
    from trimtab.report.write_report import write_report

    folder = Path(task["folder"])
    start = time.perf_counter()
    write_report(folder)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "per_second": task["count"] / seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "page_mb": (folder / "report.html").stat().st_size / 1e6,
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(json.loads(sys.argv[1]))) + "\n")
