"""Measures one way to arrange long pairs on a GPU, in a separate process: `python -m benchmarks.packing TASK` prints JSON.

TASK is a JSON object with the function to run, the model, the device, the number of pairs, their `length` (tokens of a prompt
with one response), `size` (tokens per forward pass), and whether they are `packed` or padded.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

from benchmarks import contenders
from benchmarks.workload import Workload, load_workload, measure_peak_memory_mb
from trimtab.core.runtime import PACKED_ON_GPU_VARIABLE
from trimtab.models.packing.layout_probe import select_layout
from trimtab.models.packing.pair_batch import TokenizedPair


def build_pairs(work: Workload, count: int, length: int) -> list[TokenizedPair]:
    """Pairs of the workload's tokens, whose prompt and responses have half the length each."""
    ids = [token for pair in work.token_pairs for token in pair.prompt + pair.first + pair.second]
    half = length // 2
    starts = [number * half for number in range(count)]
    tokens = tuple(ids) * (1 + (starts[-1] + 3 * half) // len(ids))
    return [
        TokenizedPair(*(tokens[start + part * half : start + (part + 1) * half] for part in range(3)))
        for start in starts
    ]


def main(task: dict[str, Any]) -> dict[str, Any]:
    os.environ[PACKED_ON_GPU_VARIABLE] = str(int(task["packed"]))
    work = load_workload(task["model"], 64, task.get("pairs"), task["device"])
    pairs = build_pairs(work, task["count"], task["length"])
    seconds = getattr(contenders, task["run"])(Workload(work.loaded, [], pairs), task["device"], task["size"])
    layout = select_layout(work.loaded.model)
    if task["device"].startswith("cuda") and (layout == "packed") != task["packed"]:
        raise SystemExit(f"{task['model']}: the pairs were {layout}")
    return {
        "seconds": seconds,
        "per_second": len(pairs) / seconds,
        "peak_mb": measure_peak_memory_mb(task["device"]),
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.stdout.write("\n" + json.dumps(main(json.loads(sys.argv[1]))) + "\n")
