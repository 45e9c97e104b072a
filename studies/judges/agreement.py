"""Compares judges with human labels and with each other, on files of human-labeled pairs.

python studies/judges/agreement.py FILE … --judge smollm2-135m-instruct \
    --judge 'scores={engine: gemma3-270m, output_format: scores}' --max-pairs 120 --json agreement.json

A judge is a model name, or NAME={…} with settings of `pairwise`. The rule that the longer response is better is always
included, and for judges with probabilities also the average over both presentation orders. Completions are cached next to the
JSON file, so that the same command resumes an interrupted run. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from trimtab.core.component import build_component
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.errors import StudyError
from trimtab.judges.pairwise import Pairwise
from trimtab.metrics.judge_quality import (
    ON_TEST_PAIRS,
    RaterAgreement,
    Verdicts,
    compute_first_position_rate,
    compute_human_agreement,
    compute_order_inconsistency,
    compute_rater_agreements,
    count_unparsed_ties,
    sum_costs,
)
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.report.text.judge_summary import build_judge_warnings
from trimtab.sources.file import File
from trimtab.types import Choice, Comparison, Outcome, Pair, Verdict, text_hash

LONGER_RULE = "longer"
AVERAGED_SUFFIX = ", averaged"
ALL_FILES = "all files"
BATCH_SIZE = 16
TABLE_METRICS = ("human_agreement", "kappa", "order_inconsistency", "first_position_rate")


@dataclass(frozen=True, kw_only=True)
class FilePairs:
    """The judged pairs of one file, and the number of excluded rows: invalid, unlabeled or too long."""

    name: str
    pairs: tuple[Pair, ...]
    n_excluded: int


def load_file_pairs(path: str, max_pairs: int, max_characters: int) -> FilePairs:
    """A sample of the labeled pairs with at most `max_characters`. The sample depends on the pair ids only."""
    dataset = File(path=path).load()
    labeled = [pair for pair in dataset.pairs if pair.human is not None]
    short = [pair for pair in labeled if count_characters(pair) <= max_characters]
    if not short:
        raise StudyError(
            f"{path}: no pair has a human label and at most {max_characters} characters; increase --max-characters"
        )
    sample = sorted(short, key=lambda pair: text_hash("drawn", pair.id))[:max_pairs]
    return FilePairs(name=file_label(path), pairs=tuple(sample), n_excluded=len(dataset.pairs) - len(short))


def file_label(path: str) -> str:
    return Path(path).name.partition(".")[0]


def count_characters(pair: Pair) -> int:
    return sum(len(message.content) for message in pair.prompt) + len(pair.a) + len(pair.b)


def parse_judge(text: str) -> tuple[str, Pairwise]:
    """Parses MODEL or NAME={settings} into a name and a judge."""
    name, equals, settings = text.partition("=")
    values = yaml.safe_load(settings) if equals else {"engine": text}
    judge = build_component("judges", {"kind": "pairwise", **values})
    if not isinstance(judge, Pairwise):
        raise StudyError(f"--judge {text}: not a pairwise judge")
    return name, judge


def run_judge(
    name: str, judge: Pairwise, files: Sequence[FilePairs], cache_folder: Path, runtime: Runtime
) -> dict[str, Verdict]:
    """A judge's verdicts on all pairs, by pair id. Its engine is freed on return."""
    engines: dict[str, Engine] = {
        key: CachedEngine(engine=engine.start(runtime), cache_key=engine.content_hash(), folder=cache_folder)
        for key, engine in list_engine_configs(judge).items()
    }
    pairs = [pair for file in files for pair in file.pairs]
    comparisons = [Comparison(id=pair.id, prompt=pair.prompt, candidate=pair.a, baseline=pair.b) for pair in pairs]
    verdicts: dict[str, Verdict] = {}
    start_time = time.monotonic()
    for start in range(0, len(comparisons), BATCH_SIZE):
        batch = comparisons[start : start + BATCH_SIZE]
        verdicts.update({verdict.id: verdict for verdict in judge.judge(batch, engines)})
        seconds = time.monotonic() - start_time
        runtime.notify(f"{name}: {len(verdicts)} of {len(comparisons)} pairs, {seconds:.0f} s")
    return verdicts


def average_orders(verdicts: Verdicts) -> dict[str, Verdict] | None:
    """Verdicts from the probabilities averaged over both orders, as in the annotator `prompted`. None without probabilities."""
    averaged = {}
    for key, verdict in verdicts.items():
        orders = (verdict.forward, verdict.reversed)
        forward, reversed_ = (order.probability_first if order is not None else None for order in orders)
        if forward is None or reversed_ is None:
            return None
        averaged[key] = Verdict(id=key, outcome=outcome_of(forward - reversed_))
    return averaged


def outcome_of(difference: float) -> Outcome:
    return "tie" if difference == 0 else "win" if difference > 0 else "loss"


def judge_by_length(files: Sequence[FilePairs]) -> dict[str, Verdict]:
    """Verdicts of the rule that the longer response is better."""
    pairs = [pair for file in files for pair in file.pairs]
    return {pair.id: Verdict(id=pair.id, outcome=outcome_of(pair.length_difference("a"))) for pair in pairs}


def evaluate_judge(name: str, verdicts: Verdicts, file: FilePairs) -> dict[str, Any]:
    """One judge on one file: metrics, outcome counts, cost, and warnings."""
    in_file = {pair.id: verdicts[pair.id] for pair in file.pairs}
    prompts = {pair.id: pair.prompt_id for pair in file.pairs}
    metrics = {
        "order_inconsistency": compute_order_inconsistency(in_file, prompts),
        "first_position_rate": compute_first_position_rate(in_file, prompts),
        **compute_human_agreement(in_file, human_labels(file), prompts),
    }
    outcomes = Counter(verdict.outcome for verdict in in_file.values())
    return {
        "metrics": {key: asdict(metric) for key, metric in metrics.items()},
        "outcomes": dict(outcomes),
        "cost": asdict(sum_costs([in_file])),
        "warnings": build_judge_warnings(name, metrics, outcomes["failed"], count_unparsed_ties(in_file), len(in_file)),
    }


def human_labels(file: FilePairs) -> dict[str, Choice]:
    return {pair.id: pair.human for pair in file.pairs if pair.human is not None}


def merge_files(files: Sequence[FilePairs]) -> FilePairs:
    return FilePairs(
        name=ALL_FILES,
        pairs=tuple({pair.id: pair for file in files for pair in file.pairs}.values()),
        n_excluded=sum(file.n_excluded for file in files),
    )


def build_document(judges: Mapping[str, Verdicts], files: Sequence[FilePairs]) -> dict[str, Any]:
    """The contents of the JSON file."""
    parts = [*files, *([merge_files(files)] if len(files) > 1 else [])]
    return {
        "files": {file.name: {"pairs": len(file.pairs), "n_excluded": file.n_excluded} for file in parts},
        "judges": {
            name: {file.name: evaluate_judge(name, verdicts, file) for file in parts}
            for name, verdicts in judges.items()
        },
        "agreements": {
            file.name: [asdict(agreement) for agreement in compute_agreements(judges, file)] for file in parts
        },
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
    }


def compute_agreements(judges: Mapping[str, Verdicts], file: FilePairs) -> list[RaterAgreement]:
    """Agreement between raters. Excludes averaged verdicts, which depend on those of their judge."""
    ratings = {
        name: {pair.id: verdicts[pair.id] for pair in file.pairs}
        for name, verdicts in judges.items()
        if not name.endswith(AVERAGED_SUFFIX)
    }
    prompts = {pair.id: pair.prompt_id for pair in file.pairs}
    return compute_rater_agreements(ratings, ON_TEST_PAIRS, prompts, human_labels(file))


def format_metric_value(metric: Mapping[str, Any] | None) -> str:
    """A value with its interval."""
    if metric is None or metric["value"] is None:
        return ""
    interval = "" if metric["low"] is None else f" [{metric['low']:.3f}, {metric['high']:.3f}]"
    return f"{metric['value']:.3f}{interval}".replace("-", "−")


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def render_markdown(document: Mapping[str, Any]) -> str:
    """A table per file, then the agreement between raters over all files."""
    head = ["judge", "human agreement", "kappa", "order inconsistency", "position bias (first)", "failed", "tokens"]
    parts = []
    for name, file in document["files"].items():
        rows = [_render_row(judge, results[name], file["pairs"]) for judge, results in document["judges"].items()]
        title = f"### {name}, n = {file['pairs']} pairs ({file['n_excluded']} excluded)"
        parts.append(f"{title}\n\n{render_table([*head, 'seconds per pair'], rows)}")
    name, agreements = list(document["agreements"].items())[-1]
    rows = [
        [
            ", ".join(agreement["raters"]),
            format_metric_value(agreement["metrics"].get("kappa")),
            format_metric_value(agreement["metrics"]["alpha"]),
        ]
        for agreement in agreements
    ]
    parts.append(f"### Agreement between raters, {name}\n\n{render_table(['raters', 'kappa', 'alpha'], rows)}")
    return "\n\n".join(parts)


def _render_row(name: str, results: Mapping[str, Any], n: int) -> list[str]:
    metrics, cost = results["metrics"], results["cost"]
    values = [format_metric_value(metrics[key]) for key in TABLE_METRICS]
    tokens = cost["prompt_tokens"] + cost["generated_tokens"]
    return [name, *values, str(results["outcomes"].get("failed", 0)), f"{tokens:,}", f"{cost['seconds'] / n:.2f}"]


@contextmanager
def silent_progress(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="pairs with human labels, in any supported layout")
    parser.add_argument("--judge", action="append", default=[], metavar="MODEL or NAME={…}")
    parser.add_argument("--max-pairs", type=int, default=120, help="maximum number of pairs per file")
    parser.add_argument(
        "--max-characters", type=int, default=4000, help="maximum length of prompt and both responses together"
    )
    parser.add_argument("--token-budget", type=int, default=2048, help="tokens in one forward pass")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, required=True, help="output file")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    runtime = Runtime(
        progress=silent_progress,
        notify=lambda text: print(text, flush=True),
        token_budget=options.token_budget,
    )
    files = [load_file_pairs(path, options.max_pairs, options.max_characters) for path in options.files]
    cache_folder = options.json.with_name(f"{options.json.name}.completions")
    judges: dict[str, Verdicts] = {LONGER_RULE: judge_by_length(files)}
    for text in options.judge:
        name, judge = parse_judge(text)
        judges[name] = run_judge(name, judge, files, cache_folder, runtime)
        if (averaged := average_orders(judges[name])) is not None:
            judges[f"{name}{AVERAGED_SUFFIX}"] = averaged
    document = build_document(judges, files)
    options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    print(render_markdown(document))


if __name__ == "__main__":
    main()
