"""Runs one benchmark in a separate process: `python -m benchmarks.worker TASK` prints a line of JSON.

TASK is a JSON object with the function to run, the model, the device, the number of pairs, and `size`: tokens per forward pass,
or examples for TRL.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

from benchmarks import contenders, seam_labels, study
from benchmarks.workload import (
    Workload,
    count_required_flops,
    load_workload,
    measure_peak_flops,
    measure_peak_memory_mb,
)

# Required passes: one forward pass to score; reference, forward and backward to train.
REQUIRED_PASSES = {"score": 1, "dpo": 3}


def main(task: dict[str, Any]) -> dict[str, Any]:
    device = task["device"]
    if task["run"].startswith("seam"):
        return seam_labels.run_seam(task)
    if task["run"].startswith("study"):
        return study.run_study_task(task)
    workload = load_workload(task["model"], task["count"], task.get("pairs"), device, task.get("layers"))
    if task.get("long"):
        workload = Workload(workload.loaded, workload.pairs, contenders.build_long_pairs(workload)[: task["long"]])
    kind = task["run"].split("_")[0]
    flops = count_required_flops(workload.loaded.model, workload.token_pairs, REQUIRED_PASSES.get(kind, 1))
    peak = measure_peak_flops(device)
    started = time.process_time()
    seconds = getattr(contenders, task["run"])(workload, device, task.get("size", 1024))
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - started,
        "per_second": len(workload.token_pairs) / seconds,
        "tokens": sum(map(len, workload.token_pairs)),
        "peak_mb": measure_peak_memory_mb(device),
        "peak_flops": peak,
        "roofline": flops / seconds / peak,
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.stdout.write("\n" + json.dumps(main(json.loads(sys.argv[1]))) + "\n")
