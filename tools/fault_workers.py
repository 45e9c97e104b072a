"""Runs a study with several processes, kills random ones, and compares the results with those of one process, byte by byte.

    python tools/fault_workers.py studies/scale/workers.yaml [--processes 1 2 3 7] [--seconds 60] [--seed 0] [--folder DIR]

About every `--seconds` seconds, SIGKILL ends one process of the run, the main process or a worker, drawn at random. If the main
process is killed, the same command resumes the run. Prints a line for each run: its kills, and which files differ from those of
an undisturbed run in one process. The exit status is 1 if one differs, other than by times and costs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fault_study import read_results

# A run that is killed often makes progress only if its checkpoints are frequent.
OPTIONS = ("--trainer", "save_steps=4")


@dataclass(frozen=True)
class KillCounts:
    """How many processes were killed during a run."""

    main: int = 0
    workers: int = 0


def start_run(study: Path, run: Path, processes: int) -> subprocess.Popen[bytes]:
    """Starts the study in its own process group, with one thread in each process and a log next to the run folder."""
    command = [
        sys.executable,
        "-m",
        "trimtab",
        "run",
        str(study),
        "--out",
        str(run),
        "--workers",
        str(processes),
        *OPTIONS,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRIMTAB_LOGPROB_CACHE": "off"}
    with run.with_name(f"{run.name}.log").open("a") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def list_workers(process: subprocess.Popen[bytes]) -> list[int]:
    """The process IDs of the workers: the children of the main process that are Python."""
    command = ["pgrep", "--parent", str(process.pid), "python"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return sorted(map(int, found.stdout.split()))


def run_with_kills(study: Path, run: Path, processes: int, seconds: float, rng: random.Random) -> KillCounts:
    """Runs the study to its end. Without kills if `seconds` is 0. Exits if a run ends with an error that no kill explains."""
    kills = KillCounts()
    process = start_run(study, run, processes)
    next_kill = time.monotonic() + rng.uniform(0.5, 1.5) * seconds
    while True:
        try:
            status = process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            if seconds and time.monotonic() >= next_kill:
                kills = kill_one(process, kills, rng)
                next_kill = time.monotonic() + rng.uniform(0.5, 1.5) * seconds
            continue
        if status == 0:
            return kills
        if status != -signal.SIGKILL:
            sys.exit(f"{run.name} ended with status {status}; see {run.with_name(run.name + '.log')}")
        process = start_run(study, run, processes)


def kill_one(process: subprocess.Popen[bytes], kills: KillCounts, rng: random.Random) -> KillCounts:
    workers = list_workers(process)
    victim = rng.choice([process.pid, *workers])
    os.kill(victim, signal.SIGKILL)
    return KillCounts(kills.main + (victim == process.pid), kills.workers + (victim != process.pid))


def find_differences(reference: Mapping[str, Any], run: Path) -> list[str]:
    results = read_results(run)
    return [name for name in sorted(results.keys() | reference.keys()) if results.get(name) != reference.get(name)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3, 7])
    parser.add_argument("--seconds", type=float, default=60.0, help="mean time between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="default: a temporary folder")
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="trimtab-workers-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(options.seed)
    run_with_kills(options.study, folder / "reference", 1, 0.0, rng)
    reference = read_results(folder / "reference")
    print(f"reference: {len(reference)} files", flush=True)
    failed = False
    for processes in options.processes:
        run = folder / f"processes-{processes}"
        start = time.monotonic()
        kills = run_with_kills(options.study, run, processes, options.seconds, rng)
        differences = find_differences(reference, run)
        failed = failed or bool(differences)
        counts = f"{kills.main} kills of the main process, {kills.workers} of workers, {time.monotonic() - start:.0f} s"
        print(f"{processes} processes: {counts}: {', '.join(differences) or 'equal'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
