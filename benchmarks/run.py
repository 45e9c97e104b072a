"""`make bench`: contenders in alternating fresh processes on the same pairs, nothing else running; ratios, not times.

Of each contender the median of its rounds counts. Results go to `benchmarks/results/latest.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from benchmarks.reports import build_run

RESULTS = Path(__file__).parent / "results"
# Tokens in a pass of Trimtab, and rows in a pass of TRL, by kind of device.
TOKEN_BUDGETS = {"cpu": 1_024, "cuda": 16_384}
TRL_SIZES = {"cpu": (2, 4), "cuda": (4, 8, 16)}
# So many pairs at least, however small the share: one step of DPO.
MIN_PAIRS = 16
# Unlabeled pairs and test prompts of the runs that are reported; a report may take a minute.
REPORT_SIZES = {"": (20_000, 1_000), "_many_prompts": (20_000, 20_000)}
MAX_REPORT_SECONDS = 60
console = Console()

Benchmark = Callable[[], dict[str, float]]


def run_in_subprocess(task: dict[str, Any]) -> dict[str, Any]:
    """Runs one contender in a process of its own. Raises `RuntimeError` with the end of what it said if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", task.get("module", "benchmarks.worker"), json.dumps(task)],
            capture_output=True,
            text=True,
            check=False,
            # TRL keeps its reference here and would find it again
            env={**os.environ, "HF_DATASETS_CACHE": folder, "TQDM_DISABLE": "1"},
        )
    if done.returncode:
        raise RuntimeError(f"{task['run']} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    console.print(
        f"  {task['run']:18s} {task['model']:24s} {found['per_second']:7.2f} a second, {found['peak_mb']:6.0f} MB",
        style="dim",
    )
    return found


def measure_medians(tasks: Sequence[dict[str, Any]], rounds: int) -> list[dict[str, float]]:
    """Medians of each task over the rounds; tasks take turns, and every other round goes backwards."""
    found: list[list[dict[str, Any]]] = [[] for _ in tasks]
    for number in range(rounds):
        order = list(range(len(tasks)))
        for place in order if number % 2 == 0 else reversed(order):
            found[place].append(run_in_subprocess(tasks[place]))
    return [{key: statistics.median(each[key] for each in runs) for key in runs[0]} for runs in found]


def compare_with_baselines(
    kind: str, model: str, count: int, asked: argparse.Namespace, others: Sequence[dict[str, Any]]
) -> dict[str, float]:
    """Trimtab against the best of the others: ratio of throughput, of memory, and the share of the roofline."""
    base = {
        "model": model,
        "count": max(MIN_PAIRS, round(asked.share * count)),
        "pairs": asked.pairs,
        "device": asked.device,
        "size": TOKEN_BUDGETS[device_type(asked.device)],
    }
    ours, *theirs = measure_medians(
        [{**base, "run": f"{kind}_trimtab"}, *({**base, **each} for each in others)], asked.rounds
    )
    best = max(theirs, key=lambda each: each["per_second"])
    return {
        "ratio": ours["per_second"] / best["per_second"],
        "memory_ratio": best["peak_mb"] / ours["peak_mb"],
        "roofline": ours["roofline"],
        "per_second": ours["per_second"],
        "other_per_second": best["per_second"],
        "peak_mb": ours["peak_mb"],
        "other_peak_mb": best["peak_mb"],
        "gflops": ours["peak_flops"] / 1e9,
    }


def measure_seam(asked: argparse.Namespace) -> dict[str, float]:
    """The same labels by the released code's calls with plain transformers: tokens that are computed, and time. One round:
    it takes a quarter of an hour."""
    task = {"model": "gemma3-270m asks smollm2", "count": 24, "pairs": asked.pairs, "device": asked.device}
    ours, plain = (run_in_subprocess({**task, "run": run}) for run in ("seam_trimtab", "seam_plain"))
    both = list(zip(ours["labels"], plain["labels"], strict=True))
    return {
        "token_ratio": plain["tokens"] / ours["tokens"],
        "wall_ratio": plain["seconds"] / ours["seconds"],
        "same_labels": sum((a > 0.5) == (b > 0.5) for a, b in both if a is not None and b is not None) / len(both),
        "per_second": ours["per_second"],
        "other_per_second": plain["per_second"],
        "peak_mb": ours["peak_mb"],
        "other_peak_mb": plain["peak_mb"],
    }


def measure_scaling(asked: argparse.Namespace) -> dict[str, float]:
    """Scoring 1,000 and 16,000 pairs with two layers of SmolLM2, so that what grows with the pairs would show."""
    base = {"model": "smollm2-135m-instruct", "layers": 2, "pairs": asked.pairs, "device": asked.device}
    few, many = measure_medians(
        [{**base, "run": "score_trimtab", "count": count} for count in (1_000, 16_000)], asked.rounds
    )
    return {
        "throughput_ratio": many["per_second"] / few["per_second"],
        "memory_ratio": many["peak_mb"] / few["peak_mb"],
    }


def measure_long_texts(asked: argparse.Namespace) -> float:
    """Peak memory of a step of 16 pairs of texts of 512 tokens."""
    task = {"model": "smollm2-135m-instruct", "count": 64, "pairs": asked.pairs, "device": asked.device, "long": True}
    return float(run_in_subprocess({**task, "run": "dpo_trimtab"})["peak_mb"])


def measure_report(asked: argparse.Namespace) -> dict[str, float]:
    """Making the report of a run of 20,000 pairs, with few test prompts and with as many as pairs."""
    found: dict[str, float] = {}
    for name, sizes in REPORT_SIZES.items():
        pairs, prompts = (max(MIN_PAIRS, round(asked.share * size)) for size in sizes)
        with tempfile.TemporaryDirectory() as folder:
            run = str(build_run(Path(folder) / "run", pairs, prompts))
            task = {"module": "benchmarks.reports", "run": "report", "model": f"{prompts:,} prompts"}
            (each,) = measure_medians([{**task, "folder": run, "count": pairs}], asked.rounds)
        found |= {f"{key}{name}": each[key] for key in ("seconds", "peak_mb", "page_mb")}
    return found


def device_type(device: str) -> str:
    return device.partition(":")[0]


def select_benchmarks(asked: argparse.Namespace) -> dict[str, Benchmark]:
    """What makes each result. Shapes of OPT are part of the whole on a graphics card, and elsewhere made when named."""
    smollm2, gemma = "smollm2-135m-instruct", "gemma3-270m"
    plain = [{"run": "score_plain"}]
    trl = [{"run": "dpo_trl", "size": size} for size in TRL_SIZES[device_type(asked.device)]]
    whole: dict[str, Benchmark] = {
        "score_smollm2": lambda: compare_with_baselines("score", smollm2, 128, asked, plain),
        "score_gemma": lambda: compare_with_baselines("score", gemma, 64, asked, plain),
        "dpo_smollm2": lambda: {
            **compare_with_baselines("dpo", smollm2, 32, asked, trl),
            "long_texts_mb": measure_long_texts(asked),
        },
        "generate_smollm2": lambda: compare_with_baselines("generate", smollm2, 64, asked, [{"run": "generate_plain"}]),
        "scaling": lambda: measure_scaling(asked),
        "seam": lambda: measure_seam(asked),
        "report": lambda: measure_report(asked),
    }
    shapes: dict[str, Benchmark] = {
        f"{kind}_{name}": partial(compare_with_baselines, kind, name, count, asked, others)
        for name, count in (("opt-125m", 2048), ("opt-1.3b", 512), ("opt-tiny", MIN_PAIRS))
        for kind, others in (("score", plain), ("dpo", trl))
    }
    large = [name for name in shapes if not name.endswith("tiny")]
    if not asked.only:
        return {**whole, **({name: shapes[name] for name in large} if device_type(asked.device) == "cuda" else {})}
    known = {**whole, **shapes}
    if strange := sorted(set(asked.only) - set(known)):
        raise SystemExit(f"ONLY: there is no result {strange[0]!r} (there are: {', '.join(known)})")
    return {name: known[name] for name in asked.only}


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", help="a file of pairs instead of the starter set")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="share of the pairs, to be quicker")
    parser.add_argument("--only", nargs="*", help="names of results to make; the others are kept as they are")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args(words)
    path: Path = asked.results / (
        "latest.json" if device_type(asked.device) == "cpu" else f"latest-{asked.device}.json"
    )
    results: dict[str, Any] = json.loads(path.read_text()) if asked.only and path.is_file() else {}
    for name, make in select_benchmarks(asked).items():
        console.print(name)
        results[name] = {key: round(value, 3) for key, value in make().items()}
        results.setdefault("about", {})[name] = {
            "pairs": _describe_pairs(name, asked.pairs),
            "device": asked.device,
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "rounds": 1 if name == "seam" else asked.rounds,
            "share": asked.share,
        }
        asked.results.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=2) + "\n")
    print_results(results)


def _describe_pairs(name: str, given: str | None) -> str:
    if name == "report":
        return "random words"
    return "random tokens" if "_opt-" in name else Path(given).name if given else "starter set"


def print_results(results: dict[str, Any]) -> None:
    table = Table(Column("result", no_wrap=True), "faster", "less memory", "of roofline", "a second", "the other's")
    for name, found in results.items():
        if "ratio" in found:
            table.add_row(
                name,
                f"{found['ratio']:.2f}x",
                f"{found['memory_ratio']:.2f}x",
                f"{100 * found['roofline']:.0f} %",
                f"{found['per_second']:.2f}",
                f"{found['other_per_second']:.2f}",
            )
    console.print(table)
    if "seam" in results:
        console.print(
            f"SEAM as the released code asks: {results['seam']['token_ratio']:.1f}x the computed tokens, "
            f"{results['seam']['wall_ratio']:.1f}x the time, {100 * results['seam']['same_labels']:.0f} % same labels"
        )
    if "scaling" in results:
        console.print(
            f"from 1,000 to 16,000 pairs: throughput {results['scaling']['throughput_ratio']:.2f} of what it was, "
            f"memory {results['scaling']['memory_ratio']:.2f}"
        )
    if "report" in results:
        console.print(
            f"a report of 20,000 pairs: {results['report']['seconds']:.0f} s with 1,000 test prompts, "
            f"{results['report']['seconds_many_prompts']:.0f} s with 20,000; it may take {MAX_REPORT_SECONDS} s"
        )


if __name__ == "__main__":
    main()
