"""How far judges agree with people and with one another, on files of pairs that people labeled.

python studies/judges/agreement.py FILE … --judge smollm2-135m-instruct --judge 'scores={engine: gemma3-270m, answer: scores}' \
    --rows 120 --json agreement.json

A judge is a model's name, or NAME={…} with settings of `pairwise`. The rule that the longer response is better is always
tried beside them, and for judges that choose by probabilities what both orders come to on average. What was answered is kept
beside the JSON, so that the same command goes on where it was stopped. Prints tables in Markdown.
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
    sum_costs,
)
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.report.text.judge_summary import build_judge_warnings
from trimtab.sources.file import File
from trimtab.types import Choice, Comparison, Pair, Verdict, text_hash

LONGER_RULE = "longer"
AVERAGED_SUFFIX = ", averaged"
ALL_FILES = "all files"
BATCH_SIZE = 16


@dataclass(frozen=True, kw_only=True)
class FilePairs:
    """The pairs of one file that are judged, and how many of it could not be or were too long."""

    name: str
    pairs: tuple[Pair, ...]
    n_excluded: int


def load_file_pairs(path: str, rows: int, longest: int) -> FilePairs:
    """The labeled pairs of at most so many characters, drawn by their ids: the same ones on every machine."""
    found = File(path=path).load()
    labeled = [pair for pair in found.pairs if pair.human is not None]
    short = [pair for pair in labeled if count_characters(pair) <= longest]
    if not short:
        raise StudyError(f"{path}: no pair has a human label and at most {longest} characters; try --longest")
    drawn = sorted(short, key=lambda pair: text_hash("drawn", pair.id))[:rows]
    return FilePairs(name=file_label(path), pairs=tuple(drawn), n_excluded=len(found.pairs) - len(short))


def file_label(path: str) -> str:
    return Path(path).name.partition(".")[0]


def count_characters(pair: Pair) -> int:
    return sum(len(message.content) for message in pair.prompt) + len(pair.a) + len(pair.b)


def parse_judge(text: str) -> tuple[str, Pairwise]:
    """A judge by the name of its model, or by a name of its own and its settings."""
    name, equals, settings = text.partition("=")
    given = yaml.safe_load(settings) if equals else {"engine": text}
    made = build_component("judges", {"kind": "pairwise", **given})
    if not isinstance(made, Pairwise):
        raise StudyError(f"--judge {text}: not a pairwise judge")
    return name, made


def run_judge(
    name: str, judge: Pairwise, rows: Sequence[FilePairs], kept: Path, runtime: Runtime
) -> dict[str, Verdict]:
    """A judge's verdicts on all pairs, by pair id; its engine is gone from memory when they are returned."""
    engines: dict[str, Engine] = {
        key: CachedEngine(engine=engine.start(runtime), cache_key=engine.content_hash(), folder=kept)
        for key, engine in list_engine_configs(judge).items()
    }
    pairs = [pair for each in rows for pair in each.pairs]
    contests = [Comparison(id=pair.id, prompt=pair.prompt, candidate=pair.a, baseline=pair.b) for pair in pairs]
    found: dict[str, Verdict] = {}
    began = time.monotonic()
    for start in range(0, len(contests), BATCH_SIZE):
        batch = contests[start : start + BATCH_SIZE]
        found.update({each.id: each for each in judge.judge(batch, engines)})
        runtime.notify(f"{name}: {len(found)} of {len(contests)} pairs, {time.monotonic() - began:.0f} s")
    return found


def average_orders(verdicts: Verdicts) -> dict[str, Verdict] | None:
    """What the probabilities of both orders, averaged, come to, as the annotator `prompted` reads them; None without any."""
    found = {}
    for key, each in verdicts.items():
        if (
            each.forward is None
            or each.reversed is None
            or each.forward.probability_first is None
            or each.reversed.probability_first is None
        ):
            return None
        lean = each.forward.probability_first - each.reversed.probability_first
        found[key] = Verdict(id=key, outcome="tie" if lean == 0 else "win" if lean > 0 else "loss")
    return found


def judge_by_length(rows: Sequence[FilePairs]) -> dict[str, Verdict]:
    """The rule that the longer response is better."""
    pairs = [pair for each in rows for pair in each.pairs]
    return {
        pair.id: Verdict(
            id=pair.id,
            outcome="tie" if pair.length_difference("a") == 0 else "win" if pair.length_difference("a") > 0 else "loss",
        )
        for pair in pairs
    }


def evaluate_judge(name: str, verdicts: Verdicts, rows: FilePairs) -> dict[str, Any]:
    """One judge on one file: its figures, how its verdicts came out, what it cost, and what it is not good for."""
    here = {pair.id: verdicts[pair.id] for pair in rows.pairs}
    prompts = {pair.id: pair.prompt_id for pair in rows.pairs}
    people = compute_human_agreement(here, human_labels(rows), prompts)
    figures = {
        "order_flips": compute_order_inconsistency(here, prompts),
        "first_named": compute_first_position_rate(here, prompts),
        **people,
    }
    outcomes = Counter(each.outcome for each in here.values())
    return {
        "figures": {key: asdict(figure) for key, figure in figures.items()},
        "outcomes": dict(outcomes),
        "cost": asdict(sum_costs([here])),
        "warnings": build_judge_warnings(name, figures, outcomes["failed"], len(here)),
    }


def human_labels(rows: FilePairs) -> dict[str, Choice]:
    return {pair.id: pair.human for pair in rows.pairs if pair.human is not None}


def merge_files(rows: Sequence[FilePairs]) -> FilePairs:
    return FilePairs(
        name=ALL_FILES,
        pairs=tuple({pair.id: pair for each in rows for pair in each.pairs}.values()),
        n_excluded=sum(each.n_excluded for each in rows),
    )


def build_document(judges: Mapping[str, Verdicts], rows: Sequence[FilePairs]) -> dict[str, Any]:
    """Everything that is written."""
    files = [*rows, *([merge_files(rows)] if len(rows) > 1 else [])]
    return {
        "files": {each.name: {"pairs": len(each.pairs), "left_out": each.n_excluded} for each in files},
        "judges": {
            name: {each.name: evaluate_judge(name, verdicts, each) for each in files}
            for name, verdicts in judges.items()
        },
        "agreements": {each.name: [asdict(found) for found in compute_agreements(judges, each)] for each in files},
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
    }


def compute_agreements(judges: Mapping[str, Verdicts], rows: FilePairs) -> list[RaterAgreement]:
    """Of raters proper: an average says nothing but what its judge's verdicts were made from."""
    here = {
        name: {pair.id: found[pair.id] for pair in rows.pairs}
        for name, found in judges.items()
        if not name.endswith(AVERAGED_SUFFIX)
    }
    return compute_rater_agreements(
        here, ON_TEST_PAIRS, {pair.id: pair.prompt_id for pair in rows.pairs}, human_labels(rows)
    )


def format_metric_value(figure: Mapping[str, Any] | None) -> str:
    """A figure with its interval."""
    if figure is None or figure["value"] is None:
        return ""
    between = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{figure['value']:.3f}{between}".replace("-", "−")


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def render_markdown(document: Mapping[str, Any]) -> str:
    """A table for each file, then how far raters agree over all of them."""
    parts = []
    for file, about in document["files"].items():
        head = [
            "judge",
            "agrees with people",
            "kappa",
            "order flips",
            "names the first",
            "failed",
            "tokens",
            "seconds a pair",
        ]
        rows = [_render_row(name, found[file], about["pairs"]) for name, found in document["judges"].items()]
        parts.append(
            f"### {file}, n = {about['pairs']} pairs ({about['left_out']} left out)\n\n{render_table(head, rows)}"
        )
    last = list(document["agreements"].values())[-1]
    rows = [
        [
            ", ".join(each["raters"]),
            format_metric_value(each["figures"].get("kappa")),
            format_metric_value(each["figures"]["alpha"]),
        ]
        for each in last
    ]
    parts.append(
        f"### How far raters agree, {list(document['agreements'])[-1]}\n\n{render_table(['raters', 'kappa', 'alpha'], rows)}"
    )
    return "\n\n".join(parts)


def _render_row(name: str, found: Mapping[str, Any], n: int) -> list[str]:
    figures, cost = found["figures"], found["cost"]
    shown = [format_metric_value(figures[key]) for key in ("with_people", "kappa", "order_flips", "first_named")]
    tokens = cost["prompt_tokens"] + cost["generated_tokens"]
    return [name, *shown, str(found["outcomes"].get("failed", 0)), f"{tokens:,}", f"{cost['seconds'] / n:.2f}"]


@contextmanager
def silent_progress(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="pairs with human labels, in any layout that trimtab reads")
    parser.add_argument("--judge", action="append", default=[], metavar="MODEL or NAME={…}")
    parser.add_argument("--rows", type=int, default=120, help="pairs of each file")
    parser.add_argument("--longest", type=int, default=4000, help="characters of prompt and both responses together")
    parser.add_argument("--token-budget", type=int, default=2048, help="tokens in one forward pass")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    return parser.parse_args()


def main() -> None:
    given = parse_arguments()
    if given.threads:
        torch.set_num_threads(given.threads)
    runtime = Runtime(
        progress=silent_progress, notify=lambda text: print(text, flush=True), token_budget=given.token_budget
    )
    rows = [load_file_pairs(path, given.rows, given.longest) for path in given.files]
    kept = given.json.with_name(f"{given.json.name}.asked")
    judges: dict[str, Verdicts] = {LONGER_RULE: judge_by_length(rows)}
    for text in given.judge:
        name, judge = parse_judge(text)
        judges[name] = run_judge(name, judge, rows, kept, runtime)
        if (both := average_orders(judges[name])) is not None:
            judges[f"{name}{AVERAGED_SUFFIX}"] = both
    document = build_document(judges, rows)
    given.json.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    print(render_markdown(document))


if __name__ == "__main__":
    main()
