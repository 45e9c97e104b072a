"""`make bench`: compares Trimtab with TRL and transformers in alternating new processes on the same pairs. Run nothing else.

Reports ratios rather than times, from the median over rounds. Results go to `benchmarks/results/latest.json`.
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
# Tokens per forward pass of Trimtab, and examples per forward pass of TRL, by device type.
TOKEN_BUDGETS = {"cpu": 1_024, "cuda": 16_384}
TRL_SIZES = {"cpu": (2, 4), "cuda": (4, 8, 16)}
# Tokens of a prompt with one response, by model, and the total of these tokens: packed and padded pairs are compared on a GPU.
PACKING_LENGTHS = {"smollm2-135m-instruct": (512, 2048, 8192), "opt-1.3b": (512, 2048), "opt-tiny": (64,)}
PACKING_TOKENS = 262_144
# Minimum number of pairs for any --share: one DPO step.
MIN_PAIRS = 16
# Pairs of the whole study: labeled, unlabeled and test.
STUDY_PAIRS = 160
# Trimtab runs the whole study in one process, and in this many.
STUDY_WORKERS = 2
# Unlabeled pairs and test prompts of the runs to report. A report may take a minute.
REPORT_SIZES = {"": (20_000, 1_000), "_many_prompts": (20_000, 20_000)}
MAX_REPORT_SECONDS = 60
console = Console()

Benchmark = Callable[[], dict[str, float]]


def run_in_subprocess(task: dict[str, Any]) -> dict[str, Any]:
    """Runs one task in a separate process. Raises `RuntimeError` with the end of its stderr if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(
            [sys.executable, "-m", task.get("module", "benchmarks.worker"), json.dumps(task)],
            capture_output=True,
            text=True,
            check=False,
            # TRL caches reference log-probabilities here and would reuse them
            env={**os.environ, "HF_DATASETS_CACHE": folder, "TQDM_DISABLE": "1"},
        )
    if process.returncode:
        raise RuntimeError(f"{task['run']} failed:\n{process.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(process.stdout.strip().splitlines()[-1])
    console.print(
        f"  {task['run']:18s} {task['model']:24s} {result['per_second']:7.2f} per second, {result['peak_mb']:6.0f} MB",
        style="dim",
    )
    return result


def measure_medians(tasks: Sequence[dict[str, Any]], rounds: int) -> list[dict[str, float]]:
    """The medians of each task over the rounds. Tasks alternate, in reverse order every other round."""
    results: list[list[dict[str, Any]]] = [[] for _ in tasks]
    for number in range(rounds):
        order = list(range(len(tasks)))
        for index in order if number % 2 == 0 else reversed(order):
            results[index].append(run_in_subprocess(tasks[index]))
    return [{key: statistics.median(run[key] for run in runs) for key in runs[0]} for runs in results]


def compare_with_baselines(
    kind: str, model: str, count: int, options: argparse.Namespace, baselines: Sequence[dict[str, Any]]
) -> dict[str, float]:
    """Compares Trimtab with the fastest baseline: ratios of throughput and memory, and the fraction of the roofline."""
    base = {
        "model": model,
        "count": max(MIN_PAIRS, round(options.share * count)),
        "pairs": options.pairs,
        "device": options.device,
        "size": TOKEN_BUDGETS[device_type(options.device)],
    }
    trimtab, *others = measure_medians(
        [{**base, "run": f"{kind}_trimtab"}, *({**base, **task} for task in baselines)], options.rounds
    )
    best = max(others, key=lambda result: result["per_second"])
    return {
        "ratio": trimtab["per_second"] / best["per_second"],
        "memory_ratio": best["peak_mb"] / trimtab["peak_mb"],
        "roofline": trimtab["roofline"],
        "per_second": trimtab["per_second"],
        "other_per_second": best["per_second"],
        "peak_mb": trimtab["peak_mb"],
        "other_peak_mb": best["peak_mb"],
        "gflops": trimtab["peak_flops"] / 1e9,
    }


def measure_seam(options: argparse.Namespace) -> dict[str, float]:
    """Compares computed tokens and time with the call pattern of the released code in plain transformers.

    Runs a single round, which takes a quarter of an hour."""
    task = {"model": "gemma3-270m, smollm2", "count": 24, "pairs": options.pairs, "device": options.device}
    trimtab, plain = (run_in_subprocess({**task, "run": run}) for run in ("seam_trimtab", "seam_plain"))
    both = list(zip(trimtab["labels"], plain["labels"], strict=True))
    return {
        "token_ratio": plain["tokens"] / trimtab["tokens"],
        "wall_ratio": plain["seconds"] / trimtab["seconds"],
        "same_labels": sum((a > 0.5) == (b > 0.5) for a, b in both if a is not None and b is not None) / len(both),
        "per_second": trimtab["per_second"],
        "other_per_second": plain["per_second"],
        "peak_mb": trimtab["peak_mb"],
        "other_peak_mb": plain["peak_mb"],
    }


def measure_study(options: argparse.Namespace) -> dict[str, float]:
    """The time of a whole small study, next to a script of TRL and transformers that does the same."""
    base = {
        "model": "smollm2-135m-instruct",
        "count": max(5 * MIN_PAIRS, round(options.share * STUDY_PAIRS)),
        "pairs": options.pairs,
        "device": options.device,
    }
    baselines = [{**base, "run": "study_trl", "size": size} for size in TRL_SIZES[device_type(options.device)]]
    tasks = [{**base, "run": "study_trimtab", "workers": workers} for workers in (1, STUDY_WORKERS)]
    trimtab, parallel, *others = measure_medians([*tasks, *baselines], options.rounds)
    best = min(others, key=lambda result: result["seconds"])
    return {
        "time_ratio": best["seconds"] / trimtab["seconds"],
        "memory_saving": best["peak_mb"] / trimtab["peak_mb"],
        "time_ratio_workers": best["seconds"] / parallel["seconds"],
        "memory_saving_workers": best["peak_mb"] / parallel["peak_mb"],
        **{f"{key}_trimtab": value for key, value in trimtab.items()},
        **{f"{key}_workers": value for key, value in parallel.items()},
        **{f"{key}_trl": value for key, value in best.items()},
    }


def measure_scaling(options: argparse.Namespace) -> dict[str, float]:
    """Scores 1,000 and 16,000 pairs with two layers of SmolLM2 to detect costs that grow with the number of pairs."""
    base = {"model": "smollm2-135m-instruct", "layers": 2, "pairs": options.pairs, "device": options.device}
    few, many = measure_medians(
        [{**base, "run": "score_trimtab", "count": count} for count in (1_000, 16_000)], options.rounds
    )
    return {
        "throughput_ratio": many["per_second"] / few["per_second"],
        "memory_ratio": many["peak_mb"] / few["peak_mb"],
    }


def measure_long_texts(options: argparse.Namespace) -> float:
    """Peak memory of a training step on 16 pairs of sequences of 512 tokens."""
    task = {
        "model": "smollm2-135m-instruct",
        "count": 64,
        "pairs": options.pairs,
        "device": options.device,
        "long": 16,
    }
    return float(run_in_subprocess({**task, "run": "dpo_trimtab"})["peak_mb"])


def measure_checkpointing(options: argparse.Namespace) -> dict[str, float]:
    """Memory and time of a DPO step on 4 pairs of 512-token texts, without and with gradient checkpointing, by the tokens of a
    forward pass. Processor time, which other programs change less, includes the reference's log-probabilities."""
    base = {
        "model": "smollm2-135m-instruct",
        "count": 16,
        "pairs": options.pairs,
        "device": options.device,
        "long": 4,
    }
    results: dict[str, float] = {}
    for size in (1_024, 4_096):
        tasks = [{**base, "run": run, "size": size} for run in ("dpo_trimtab", "dpo_checkpointed")]
        for name, result in zip(("without", "with"), measure_medians(tasks, options.rounds), strict=True):
            results |= {f"{key}_{name}_{size}": result[key] for key in ("peak_mb", "seconds", "cpu_seconds")}
    return results


def measure_packing(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Packed instead of padded pairs, by the number of tokens of a prompt with one response. Both are the same on a CPU."""
    results: dict[str, float] = {}
    for kind in ("score", "dpo"):
        for length in PACKING_LENGTHS[name]:
            task = {
                "module": "benchmarks.packing",
                "run": f"{kind}_trimtab",
                "model": name,
                "device": options.device,
                "pairs": options.pairs,
                "size": TOKEN_BUDGETS[device_type(options.device)],
                "length": length,
                "count": max(MIN_PAIRS, round(options.share * PACKING_TOKENS / length)),
            }
            padded, packed = measure_medians([{**task, "packed": packed} for packed in (False, True)], options.rounds)
            results |= {
                f"{kind}_{length}_ratio": packed["per_second"] / padded["per_second"],
                f"{kind}_{length}_memory_ratio": padded["peak_mb"] / packed["peak_mb"],
                f"{kind}_{length}_per_second": packed["per_second"],
            }
    return results


def measure_report(options: argparse.Namespace) -> dict[str, float]:
    """Writes the report of a run with 20,000 pairs, with 1,000 and with 20,000 test prompts."""
    results: dict[str, float] = {}
    for name, sizes in REPORT_SIZES.items():
        pairs, prompts = (max(MIN_PAIRS, round(options.share * size)) for size in sizes)
        with tempfile.TemporaryDirectory() as folder:
            run = str(build_run(Path(folder) / "run", pairs, prompts))
            task = {"module": "benchmarks.reports", "run": "report", "model": f"{prompts:,} prompts"}
            (result,) = measure_medians([{**task, "folder": run, "count": pairs}], options.rounds)
        results |= {f"{key}{name}": result[key] for key in ("seconds", "peak_mb", "page_mb")}
    return results


def device_type(device: str) -> str:
    return device.partition(":")[0]


def select_benchmarks(options: argparse.Namespace) -> dict[str, Benchmark]:
    """The benchmarks by name. OPT models run by default on a GPU only, and elsewhere if named."""
    smollm2, gemma = "smollm2-135m-instruct", "gemma3-270m"
    plain = [{"run": "score_plain"}]
    trl = [{"run": "dpo_trl", "size": size} for size in TRL_SIZES[device_type(options.device)]]
    default: dict[str, Benchmark] = {
        "score_smollm2": lambda: compare_with_baselines("score", smollm2, 128, options, plain),
        "score_gemma": lambda: compare_with_baselines("score", gemma, 64, options, plain),
        "dpo_smollm2": lambda: {
            **compare_with_baselines("dpo", smollm2, 32, options, trl),
            "long_texts_mb": measure_long_texts(options),
        },
        "generate_smollm2": lambda: compare_with_baselines(
            "generate", smollm2, 64, options, [{"run": "generate_plain"}]
        ),
        "checkpointing": lambda: measure_checkpointing(options),
        "scaling": lambda: measure_scaling(options),
        "study": lambda: measure_study(options),
        "seam": lambda: measure_seam(options),
        "report": lambda: measure_report(options),
    }
    shapes: dict[str, Benchmark] = {
        f"{kind}_{name}": partial(compare_with_baselines, kind, name, count, options, baselines)
        for name, count in (("opt-125m", 2048), ("opt-1.3b", 512), ("opt-tiny", MIN_PAIRS))
        for kind, baselines in (("score", plain), ("dpo", trl))
    }
    shapes |= {f"packing_{name}": partial(measure_packing, name, options) for name in PACKING_LENGTHS}
    large = [name for name in shapes if not name.endswith("tiny")]
    if not options.only:
        return {**default, **({name: shapes[name] for name in large} if device_type(options.device) == "cuda" else {})}
    available = {**default, **shapes}
    if unknown := sorted(set(options.only) - set(available)):
        raise SystemExit(f"ONLY: unknown result {unknown[0]!r} (available: {', '.join(available)})")
    return {name: available[name] for name in options.only}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", help="a file of pairs instead of the starter set")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="fraction of the pairs, for quicker runs")
    parser.add_argument("--only", nargs="*", help="names of results to update; others are kept")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    path: Path = options.results / (
        "latest.json" if device_type(options.device) == "cpu" else f"latest-{options.device}.json"
    )
    results: dict[str, Any] = json.loads(path.read_text()) if options.only and path.is_file() else {}
    for name, benchmark in select_benchmarks(options).items():
        console.print(name)
        results[name] = {key: round(value, 3) for key, value in benchmark().items()}
        results.setdefault("about", {})[name] = {
            "pairs": _describe_pairs(name, options.pairs),
            "device": options.device,
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "rounds": 1 if name == "seam" else options.rounds,
            "share": options.share,
        }
        options.results.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=2) + "\n")
    print_results(results)


def _describe_pairs(name: str, path: str | None) -> str:
    if name == "report":
        return "random words"
    return "random tokens" if "_opt-" in name else Path(path).name if path else "starter set"


def print_results(results: dict[str, Any]) -> None:
    table = Table(
        Column("result", no_wrap=True), "speedup", "memory saving", "of roofline", "per second", "baseline per second"
    )
    for name, result in results.items():
        if "ratio" in result:
            table.add_row(
                name,
                f"{result['ratio']:.2f}x",
                f"{result['memory_ratio']:.2f}x",
                f"{100 * result['roofline']:.0f} %",
                f"{result['per_second']:.2f}",
                f"{result['other_per_second']:.2f}",
            )
    console.print(table)
    for name, result in results.items():
        for key, value in result.items():
            if name.startswith("packing_") and key.endswith("ratio"):
                console.print(f"{name}, packed instead of padded: {key.replace('_', ' ')} {value:.2f}")
    if "seam" in results:
        console.print(
            f"SEAM with the call pattern of the released code: {results['seam']['token_ratio']:.1f}x the computed tokens, "
            f"{results['seam']['wall_ratio']:.1f}x the time, {100 * results['seam']['same_labels']:.0f} % same labels"
        )
    if "study" in results:
        console.print(
            f"whole study: {results['study']['seconds_trimtab']:.0f} s, with TRL and transformers "
            f"{results['study']['seconds_trl']:.0f} s ({results['study']['time_ratio']:.2f}x the time, "
            f"{results['study']['memory_saving']:.2f}x the memory); {STUDY_WORKERS} workers: "
            f"{results['study']['seconds_workers']:.0f} s ({results['study']['time_ratio_workers']:.2f}x, "
            f"{results['study']['memory_saving_workers']:.2f}x the memory)"
        )
    if "scaling" in results:
        console.print(
            f"from 1,000 to 16,000 pairs: throughput ratio {results['scaling']['throughput_ratio']:.2f}, "
            f"memory ratio {results['scaling']['memory_ratio']:.2f}"
        )
    if "report" in results:
        console.print(
            f"report of 20,000 pairs: {results['report']['seconds']:.0f} s with 1,000 test prompts, "
            f"{results['report']['seconds_many_prompts']:.0f} s with 20,000; limit: {MAX_REPORT_SECONDS} s"
        )


if __name__ == "__main__":
    main()
