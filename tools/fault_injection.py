"""Kills runs, fills their disks and damages their files; checks that no work is lost and that no damaged data is used.

    python tools/fault_injection.py [--kills 40] [--full-disks 9] [--corruptions 60] [--seed 0] [--model NAME] [--workers N]
                                    [--folder DIR]

Every run is the command `trimtab` in its own process, on a study of a tiny random model. After each fault, the same command
must resume to the results of an undisturbed run. The full disks are small tmpfs mounts, which need root. Prints one line per
fault and a table. The exit status is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fault_study import ENGINE, read_result, read_results, remove_varying, write_study

STAGE_LINE = re.compile(r"^\[[\d:]+\] \d+ of \d+: ", re.MULTILINE)
REMEDY = re.compile(r"delete (?:the folder )?(\S+?),? and run")
CHECKS = {
    "kill": "verify finds nothing; resumed results are equal; no finished stage was computed again",
    "kill of annotate": "resumed labels are equal",
    "full disk": "one message with the path, then as after a kill",
    "corruption": "named with a remedy that works, or rebuilt; report and results are equal",
}
# Unfinished runs: only this stage is missing, and the run is killed when a file of this pattern has contents.
UNFINISHED = {
    "training": ("dpo.human-*", "checkpoint-1/content_hashes.json"),
    "scoring": ("logprobs.student-sft-*", "*-[0-9]*.part"),
    "generation": ("generate.sft-*", "*-[0-9]*.part"),
    "hidden": ("hidden-states.*", "*-[0-9]*.part"),
}
# Files to damage, by the state of the run. `recomputed` is a finished run without its prompted labels and log-probabilities,
# `shared` one without stages whose store has them all.
TARGETS = {
    "finished": [
        *("stages/*/record.json", "stages/*/*.parquet", "stages/*/**/*.safetensors", "stages/*/*.npy"),
        *("stages/*/log.jsonl", "stages/*/**/*config.json", "stages/*/model.json", "run.json", "study.yaml"),
        *("labels/*.parquet", "report.json", "completions/*.jsonl"),
    ],
    "recomputed": ["completions/*.jsonl", "cache/logprobs/*.jsonl"],
    "training": ["stages/*/checkpoint-*/*", "stages/dpo.human-*/log.jsonl", "stages/dpo.human-*/elapsed.json"],
    "scoring": ["stages/logprobs.student-sft-*/*-[0-9]*.part"],
    "generation": ["stages/generate.sft-*/*-[0-9]*.part"],
    "hidden": ["stages/hidden-states.*/*-[0-9]*.part"],
    "shared": [f"cache/store/stages/*/{name}" for name in ("record.json", "*.parquet", "**/*.safetensors")],
}
WAYS = ("flip", "truncate", "swap", "empty", "delete")


@dataclass
class Lab:
    """The working folder with the study, the results of an undisturbed run, and the outcome of each fault by kind."""

    folder: Path
    workers: int = 1
    reference: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_stage: float = 0.0
    outcomes: dict[str, list[bool]] = field(default_factory=dict)

    def start(self, run: Path, *words: str | Path) -> subprocess.Popen[bytes]:
        """Starts a command, by default the study, as a process group. Caches are in the run, the output in a log next to it."""
        arguments = words or ("run", "study.yaml", "--out", run, "--trainer", "save_steps=1", "--token-budget", "64")
        if not words and self.workers > 1:
            arguments = (*arguments, "--workers", str(self.workers))
        if not words and run.name.endswith("shared"):
            arguments = (*arguments, "--store", run / "cache" / "store")
        environment = {**os.environ, "TRIMTAB_CACHE": str(run / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        environment.pop("TRIMTAB_LOGPROB_CACHE", None)
        command = [sys.executable, "-m", "trimtab", *map(str, arguments)]
        with self.log(run).open("w") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    def call(self, run: Path, *words: str | Path) -> tuple[int, str]:
        """The exit status and the output of an undisturbed command. A traceback counts as status 99."""
        status = self.start(run, *words).wait()
        text = self.log(run).read_text()
        return (99 if "Traceback" in text else status), text.strip()

    def log(self, run: Path) -> Path:
        return self.folder / f"{run.relative_to(self.folder)}.log".replace("/", "-")

    def report(self, kind: str, place: str, problems: Sequence[str]) -> None:
        self.outcomes.setdefault(kind, []).append(not problems)
        print(f"{kind} {len(self.outcomes[kind])}: {place}: {'; '.join(problems) or 'ok'}", flush=True)

    def resume(self, run: Path, finished: Mapping[str, bytes]) -> list[str]:
        """Resumes a run; what is wrong with it, including stages of `finished` that were computed again."""
        status, text = self.call(run)
        if status:
            return [f"resuming ends with status {status}: {text.splitlines()[-1]}"]
        records = read_records(run)
        repeated = [f"{name} was computed again" for name in finished if records.get(name) != finished[name]]
        return [*repeated, *self.find_differences(run), *self.verify(run)]

    def find_differences(self, run: Path) -> list[str]:
        results = read_results(run)
        names = sorted(results.keys() | self.reference.keys())
        return [f"{name} differs" for name in names if results.get(name) != self.reference.get(name)]

    def verify(self, run: Path) -> list[str]:
        if not any((run / "stages").glob("*")):
            return []  # there is nothing to verify before the first stage
        status, text = self.call(run, "verify", run)
        return [f"verify: {text}"] if status else []


def read_records(run: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in run.glob("stages/*/record.json")}


def has_started(log: Path, stages: int) -> bool:
    return len(STAGE_LINE.findall(log.read_text())) >= stages


def has_contents(folder: Path, pattern: str) -> bool:
    """Whether a file of this pattern is not empty. True without a pattern."""
    return not pattern or any(path.stat().st_size for path in folder.glob(pattern))


def kill_when(process: subprocess.Popen[bytes], is_time: Callable[[], bool], delay: float) -> bool:
    """Kills the process group `delay` seconds after `is_time` becomes true. False if the process ended before."""
    while process.poll() is None:
        if is_time():
            time.sleep(delay)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait() != 0
        time.sleep(0.001)
    return False


def inject_kills(lab: Lab, count: int, rng: random.Random) -> None:
    """Kills a run during its start or a random number of stages later, resumes it, kills it again, until it is finished.

    Every second run shares its stages through a store.
    """
    done = number = 0
    while done < count:
        number += 1
        run = lab.folder / f"kill-{number}{'' if number % 2 else '-shared'}"
        finished: dict[str, bytes] = {}
        kills: list[tuple[str, list[str]]] = []
        while done < count:
            stages = rng.randrange(12)
            delay = rng.uniform(0, (2 if stages else 15) * lab.seconds_per_stage)
            if not kill_when(lab.start(run), partial(has_started, lab.log(run), stages), delay):
                break
            done += 1
            text = lab.log(run).read_text()
            finished = read_records(run) | finished
            place = f"{run.name}, {delay:.2f} s after stage line {stages}, {len(finished)} stages finished"
            kills.append((place, [*([text] if "Traceback" in text else []), *lab.verify(run)]))
        final_problems = lab.resume(run, finished)
        for place, problems in kills:
            lab.report("kill", place, problems + final_problems)


def inject_kills_of_annotate(lab: Lab, count: int, rng: random.Random) -> None:
    """Kills `trimtab annotate` at random moments: of its whole time, or soon after it cached a completion."""
    rows = [{"prompt": f"Say {n}.", "chosen": f"{n}, gladly", "rejected": "sorry"} for n in range(40)]
    (lab.folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("annotate", "pairs.jsonl", "--annotator", "prompted", "--set", f"weak={ENGINE}", "--out")

    def label(output: Path) -> list[Any]:
        status, text = lab.call(output, *words, output)
        return [text] if status else [remove_varying(json.loads(line)) for line in output.read_text().splitlines()]

    expected = label(lab.folder / "labels.jsonl")
    for number in range(1, count + 1):
        output = lab.folder / f"labels-{number}.jsonl"
        completions = lab.folder / f"{output.name}.completions"
        pattern, delay = rng.choice([("[0-9a-f]*.jsonl", rng.uniform(0, 0.05)), ("", rng.uniform(0, 9))])
        while not kill_when(lab.start(output, *words, output), partial(has_contents, completions, pattern), delay):
            delay /= 2
        problems = [] if label(output) == expected and not completions.exists() else ["other labels"]
        lab.report("kill of annotate", f"{delay:.2f} s after {pattern or 'the start'}", problems)


def inject_full_disks(lab: Lab, count: int) -> None:
    """Runs the study on a disk that is too small, at `count` sizes, then enlarges the disk and resumes."""
    used = sum(path.stat().st_blocks * 512 for path in (lab.folder / "reference").rglob("*") if path.is_file())
    for number in range(1, count + 1):
        size, disk = used * number // (count + 1) // 4096 * 4096, lab.folder / f"disk-{number}"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "trimtab-faults", disk], check=True)
        try:
            status, text = lab.call(disk / "run")
            message = text.splitlines()[-1]
            is_clear = status == 1 and "no space left" in message.lower() and str(disk) in message
            problems = [*([] if is_clear else [f"status {status}"]), *lab.verify(disk / "run")]
            finished = read_records(disk / "run")
            subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
            problems += lab.resume(disk / "run", finished)
        finally:
            subprocess.run(["umount", disk], check=True)
        lab.report("full disk", f"{size / 1e6:.2f} MB, {len(finished)} stages finished: {message}", problems)


def prepare_states(lab: Lab) -> dict[str, Path]:
    """A run folder in each state of `TARGETS`."""
    states = {state: lab.folder / f"state-{state}" for state in TARGETS}
    for state in states.keys() - {"shared"}:
        shutil.copytree(lab.folder / "reference", states[state])
    for path in (states["recomputed"] / "stages").glob("*"):
        if path.name.startswith(("annotate.prompted", "judge", "logprobs")):
            shutil.rmtree(path)
    for state, (stage, pattern) in UNFINISHED.items():
        run = states[state]
        shutil.rmtree(run / "cache")
        (folder,) = run.glob(f"stages/{stage}")
        while not has_contents(folder, pattern):
            shutil.rmtree(folder)
            kill_when(lab.start(run), partial(has_contents, folder, pattern), 0)
    lab.call(states["shared"])
    shutil.rmtree(states["shared"] / "stages")
    return states


def damage(path: Path, other: Path, way: str, rng: random.Random) -> None:
    data = path.read_bytes()
    if way == "delete":
        path.unlink()
    elif way == "swap":
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
    elif way == "flip":
        changed = bytearray(data)
        for index in rng.sample(range(len(data)), min(len(data), 3)):
            changed[index] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
    else:
        path.write_bytes(b"" if way == "empty" else data[: rng.randrange(len(data))])


def inject_corruptions(lab: Lab, count: int, rng: random.Random) -> None:
    states = prepare_states(lab) if count else {}
    targets = [
        (state, pattern)
        for state, patterns in TARGETS.items()
        for pattern in patterns
        if count and list_targets(states[state], pattern)
    ]
    for number in range(count):
        state, pattern = targets[number % len(targets)]
        way = WAYS[(number + number // len(targets)) % len(WAYS)]
        run = lab.folder / f"damaged-{number + 1}-{state}"
        shutil.copytree(states[state], run)
        paths = list_targets(run, pattern)
        path = rng.choice(paths)
        others = [other for other in paths if other.read_bytes() != path.read_bytes()]
        way = "flip" if way == "swap" and not others else way
        damage(path, rng.choice(others or [path]), way, rng)
        handling, problems = find_use_of_damage(lab, run, path, state)
        lab.report("corruption", f"{way} of {path.relative_to(run)} ({state}): {handling}", problems)


def list_targets(run: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(run.glob(pattern)) if path.is_file() and path.stat().st_size]


def find_use_of_damage(lab: Lab, run: Path, path: Path, state: str) -> tuple[str, list[str]]:
    """How the damage was handled, and what is wrong with that. Deletes what messages name, as they say."""
    handling, problems = [], []
    for command in ("verify", "report") if state == "finished" else ():
        status, text = lab.call(run, command, run)
        if status == 1 and (path.name in text or path.parent.name in text) and "again" in text:
            handling.append(f"named by {command}")
        elif status:
            problems.append(f"{command} ends with status {status}: {text}")
        elif command == "report" and read_result(run / "report.json") != lab.reference["report.json"]:
            problems.append("the report differs")
    status, text = lab.call(run)
    while status == 1 and (named := REMEDY.search(text)) and Path(named[1]).exists():
        handling.append(f"run: {text.splitlines()[-1]}")
        shutil.rmtree(named[1]) if Path(named[1]).is_dir() else Path(named[1]).unlink()
        status, text = lab.call(run)
    if status:
        return ", ".join(handling), [*problems, f"run ends with status {status}: {text}"]
    remaining = lab.find_differences(run) + lab.verify(run)
    if path.parent.name == "completions":  # damaged lines stay in the file, unused, and `verify` goes on naming them
        remaining = [problem for problem in remaining if f"{path.parent.name}/" not in problem]
    return ", ".join(handling) or "rebuilt", problems + remaining


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("kills", 40), ("full-disks", 9), ("corruptions", 60), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--model", default="", help="a model to use instead of a tiny random one")
    parser.add_argument("--workers", type=int, default=1, help="processes of each run; the kill hits the main process")
    parser.add_argument("--folder", type=Path, default=None, help="a new folder; default: a temporary folder")
    options = parser.parse_args()
    lab = Lab(
        folder=(options.folder or Path(tempfile.mkdtemp(prefix="trimtab-faults-"))).resolve(), workers=options.workers
    )
    lab.folder.mkdir(parents=True, exist_ok=True)
    write_study(lab.folder, options.model)
    start = time.monotonic()
    status, text = lab.call(lab.folder / "reference")
    if status:
        sys.exit(f"the undisturbed run ends with status {status}: {text}")
    lab.seconds_per_stage = (time.monotonic() - start) / len(STAGE_LINE.findall(text))
    lab.reference = read_results(lab.folder / "reference")
    rng = random.Random(options.seed)
    kills_of_annotate = 0 if options.model else options.kills // 5
    inject_kills(lab, options.kills - kills_of_annotate, rng)
    inject_kills_of_annotate(lab, kills_of_annotate, rng)
    inject_full_disks(lab, options.full_disks)
    inject_corruptions(lab, options.corruptions, rng)
    print("\n| fault | n | checked | failed |\n|---|---|---|---|")
    for kind, passed in lab.outcomes.items():
        print(f"| {kind} | {len(passed)} | {CHECKS[kind]} | {passed.count(False)} |")
    sys.exit(any(False in passed for passed in lab.outcomes.values()))


if __name__ == "__main__":
    main()
