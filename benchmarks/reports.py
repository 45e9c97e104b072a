"""The report of a made-up run in a process of its own: `python -m benchmarks.reports TASK` prints a line of JSON.

A task is a JSON object that names the folder of the run, which `made` makes. No torch is loaded.
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
    """A run of so many unlabeled pairs and so many test prompts with a pair each: the arms of a study, and nothing trained."""
    make: Any = runpy.run_path(str(RUN_FACTORY))["create_large_run"]
    return Path(make(folder, pairs, prompts, words=WORDS_PER_TEXT))


def main(task: dict[str, Any]) -> dict[str, float]:
    from trimtab.report.write_report import write_report

    folder = Path(task["folder"])
    begun = time.perf_counter()
    write_report(folder)
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "per_second": task["count"] / seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "page_mb": (folder / "report.html").stat().st_size / 1e6,
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(json.loads(sys.argv[1]))) + "\n")
