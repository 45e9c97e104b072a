"""One contender in a process of its own: `python -m benchmarks.worker TASK`, a JSON object, prints a line of JSON.

A task names the contender, the model, the device, how many pairs, and `size`: tokens in a pass, or rows for TRL.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from benchmarks import asking, contenders
from benchmarks.workload import (
    Workload,
    count_required_flops,
    load_workload,
    measure_peak_flops,
    measure_peak_memory_mb,
)

# Forward passes that the work cannot do without: reading once; the reference, forward and backward.
REQUIRED_PASSES = {"score": 1, "dpo": 3}


def main(task: dict[str, Any]) -> dict[str, Any]:
    device = task["device"]
    if task["run"].startswith("seam"):
        return asking.run_seam(task)
    given = load_workload(task["model"], task["count"], task.get("pairs"), device, task.get("layers"))
    if task.get("long"):
        given = Workload(given.loaded, given.pairs, contenders.build_long_pairs(given))
    kind = task["run"].split("_")[0]
    flops = count_required_flops(given.loaded.model, given.token_pairs, REQUIRED_PASSES.get(kind, 1))
    before = measure_peak_flops(device)
    seconds = getattr(contenders, task["run"])(given, device, task.get("size", 1024))
    return {
        "seconds": seconds,
        "per_second": len(given.token_pairs) / seconds,
        "tokens": sum(map(len, given.token_pairs)),
        "peak_mb": measure_peak_memory_mb(device),
        "peak_flops": before,
        "roofline": flops / seconds / before,
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.stdout.write("\n" + json.dumps(main(json.loads(sys.argv[1]))) + "\n")
