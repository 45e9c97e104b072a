"""Saves the results of a finished piece: python studies/headline/save_results.py runs/headline-harmless/curve-1

Writes two files to docs/results/headline/PIECE/, without any text of the data:

- `report.json`, as in the run folder.
- `values.json.gz`, from which `answers.py` pools pieces and seeds: whether each arm is right on each test pair, and the
  rewards of its responses. Rows are in the order of the pairs' ids; `pairs` is a hash of these ids, so that only pieces with
  the same test pairs are pooled, and `prompts` numbers their prompts.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from trimtab.annotators.human import Human
from trimtab.core.component import get_kind
from trimtab.report.collect.arm_values import load_arm_values
from trimtab.report.run_reader import Run
from trimtab.report.write_report import write_report
from trimtab.types import Pair

OUT = Path("docs/results/headline")
STUDY_PREFIX = "headline-"
# The difference in characters, as a share of the longer response, up to which two responses are of similar length.
SIMILAR_LENGTH = 0.2


def has_similar_lengths(pair: Pair) -> bool:
    return abs(len(pair.a) - len(pair.b)) <= SIMILAR_LENGTH * max(len(pair.a), len(pair.b))


def collect_values(run: Run) -> dict[str, Any]:
    """The contents of `values.json.gz`. Raises `ValueError` if an arm has no value on a test pair."""
    pairs = sorted((pair for pair in run.test if pair.human is not None), key=lambda pair: pair.id)
    prompt_numbers = {prompt: number for number, prompt in enumerate(sorted({pair.prompt_id for pair in pairs}))}
    accuracy: dict[str, list[float]] = {}
    rewards: dict[str, dict[str, dict[int, float]]] = {}
    for arm, values in load_arm_values(run).items():
        for metric, by_id in values.values.items():
            if metric == "accuracy":
                if missing := [pair.id for pair in pairs if pair.id not in by_id]:
                    raise ValueError(
                        f"{run.folder}: {arm} has no accuracy on {len(missing)} of {len(pairs)} test pairs"
                    )
                accuracy[arm] = [by_id[pair.id] for pair in pairs]
            elif metric.startswith("gold_reward"):
                rewards.setdefault(metric, {})[arm] = {prompt_numbers[key]: value for key, value in by_id.items()}
    return {
        "study": run.study.name,
        "seed": run.study.seed,
        "settings": _hash_settings(run),
        "pairs": _hash(json.dumps([pair.id for pair in pairs])),
        "prompts": [prompt_numbers[pair.prompt_id] for pair in pairs],
        "similar_length": [int(has_similar_lengths(pair)) for pair in pairs],
        "human_labels": {
            row.name: sum(label.choice is not None for label in run.annotations(row.labels).values())
            for row in run.arms
            if row.labels and row.training and row.annotator == get_kind(Human())
        },
        "accuracy": accuracy,
        "rewards": rewards,
    }


def save_results(folder: Path, out: Path) -> Path:
    """Writes both files of a run. Raises `ValueError` for an unfinished run."""
    run = Run(folder)
    if run.missing_stages:
        raise ValueError(f"{folder}: {len(run.missing_stages)} stages are not finished; run the study again")
    write_report(folder)
    target = out / run.study.name.removeprefix(STUDY_PREFIX)
    target.mkdir(parents=True, exist_ok=True)
    (target / "report.json").write_bytes((folder / "report.json").read_bytes())
    document = json.dumps(collect_values(run), separators=(",", ":"))
    (target / "values.json.gz").write_bytes(gzip.compress(document.encode(), mtime=0))
    return target


def _hash_settings(run: Run) -> str:
    """Of the settings that pieces of one run share: two pieces with other models or training are not pooled."""
    shared = run.study.model_dump(mode="json", include={"models", "training", "max_length"})
    return _hash(json.dumps(shared, sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description="Saves the results of finished pieces.")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    for folder in arguments.runs:
        print(save_results(folder, arguments.out))


if __name__ == "__main__":
    main()
