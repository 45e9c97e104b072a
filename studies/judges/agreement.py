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

from trimtab.components import build
from trimtab.data.file import File
from trimtab.errors import StudyError
from trimtab.evaluation.pairwise import Pairwise
from trimtab.protocols import Engine, Runtime, Tick
from trimtab.report.judges import (
    PAIRS,
    RaterAgreement,
    Verdicts,
    agreements,
    first_named,
    order_flips,
    total_cost,
    warnings,
    with_people,
)
from trimtab.stages.asked import Asked
from trimtab.stages.engines import engines_of
from trimtab.types import Choice, Contest, Pair, Verdict, text_hash

LONGER = "longer"
AVERAGED = ", averaged"
ALL = "all files"
BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The pairs of one file that are judged, and how many of it could not be or were too long."""

    name: str
    pairs: tuple[Pair, ...]
    left_out: int


def read(path: str, rows: int, longest: int) -> Rows:
    """The labeled pairs of at most so many characters, drawn by their ids: the same ones on every machine."""
    found = File(path=path).load()
    labeled = [pair for pair in found.pairs if pair.human is not None]
    short = [pair for pair in labeled if size(pair) <= longest]
    if not short:
        raise StudyError(f"{path}: no pair has a human label and at most {longest} characters; try --longest")
    drawn = sorted(short, key=lambda pair: text_hash("drawn", pair.id))[:rows]
    return Rows(name=name_of(path), pairs=tuple(drawn), left_out=len(found.pairs) - len(short))


def name_of(path: str) -> str:
    return Path(path).name.partition(".")[0]


def size(pair: Pair) -> int:
    return sum(len(message.content) for message in pair.prompt) + len(pair.a) + len(pair.b)


def judge_of(text: str) -> tuple[str, Pairwise]:
    """A judge by the name of its model, or by a name of its own and its settings."""
    name, equals, settings = text.partition("=")
    given = yaml.safe_load(settings) if equals else {"engine": text}
    made = build("evaluation", {"kind": "pairwise", **given})
    if not isinstance(made, Pairwise):
        raise StudyError(f"--judge {text}: not a pairwise judge")
    return name, made


def judged(name: str, judge: Pairwise, rows: Sequence[Rows], kept: Path, runtime: Runtime) -> dict[str, Verdict]:
    """A judge's verdicts on all pairs, by pair id; its engine is gone from memory when they are returned."""
    engines: dict[str, Engine] = {
        key: Asked(engine=engine.start(runtime), identity=engine.identity(), folder=kept)
        for key, engine in engines_of(judge).items()
    }
    pairs = [pair for each in rows for pair in each.pairs]
    contests = [Contest(id=pair.id, prompt=pair.prompt, ours=pair.a, theirs=pair.b) for pair in pairs]
    found: dict[str, Verdict] = {}
    began = time.monotonic()
    for start in range(0, len(contests), BATCH):
        batch = contests[start : start + BATCH]
        found.update({each.id: each for each in judge.judge(batch, engines)})
        runtime.notify(f"{name}: {len(found)} of {len(contests)} pairs, {time.monotonic() - began:.0f} s")
    return found


def averaged(verdicts: Verdicts) -> dict[str, Verdict] | None:
    """What the probabilities of both orders, averaged, come to, as the annotator `prompted` reads them; None without any."""
    found = {}
    for key, each in verdicts.items():
        if each.there is None or each.back is None or each.there.share is None or each.back.share is None:
            return None
        lean = each.there.share - each.back.share
        found[key] = Verdict(id=key, outcome="tie" if lean == 0 else "win" if lean > 0 else "loss")
    return found


def by_length(rows: Sequence[Rows]) -> dict[str, Verdict]:
    """The rule that the longer response is better."""
    pairs = [pair for each in rows for pair in each.pairs]
    return {
        pair.id: Verdict(id=pair.id, outcome="tie" if pair.lead("a") == 0 else "win" if pair.lead("a") > 0 else "loss")
        for pair in pairs
    }


def measured(name: str, verdicts: Verdicts, rows: Rows) -> dict[str, Any]:
    """One judge on one file: its figures, how its verdicts came out, what it cost, and what it is not good for."""
    here = {pair.id: verdicts[pair.id] for pair in rows.pairs}
    prompts = {pair.id: pair.prompt_id for pair in rows.pairs}
    people = with_people(here, human_of(rows), prompts)
    figures = {"order_flips": order_flips(here, prompts), "first_named": first_named(here, prompts), **people}
    outcomes = Counter(each.outcome for each in here.values())
    return {
        "figures": {key: asdict(figure) for key, figure in figures.items()},
        "outcomes": dict(outcomes),
        "cost": asdict(total_cost([here])),
        "warnings": warnings(name, figures, outcomes["failed"], len(here)),
    }


def human_of(rows: Rows) -> dict[str, Choice]:
    return {pair.id: pair.human for pair in rows.pairs if pair.human is not None}


def together(rows: Sequence[Rows]) -> Rows:
    return Rows(
        name=ALL,
        pairs=tuple({pair.id: pair for each in rows for pair in each.pairs}.values()),
        left_out=sum(each.left_out for each in rows),
    )


def tried(judges: Mapping[str, Verdicts], rows: Sequence[Rows]) -> dict[str, Any]:
    """Everything that is written."""
    files = [*rows, *([together(rows)] if len(rows) > 1 else [])]
    return {
        "files": {each.name: {"pairs": len(each.pairs), "left_out": each.left_out} for each in files},
        "judges": {
            name: {each.name: measured(name, verdicts, each) for each in files} for name, verdicts in judges.items()
        },
        "agreements": {each.name: [asdict(found) for found in agreed(judges, each)] for each in files},
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
    }


def agreed(judges: Mapping[str, Verdicts], rows: Rows) -> list[RaterAgreement]:
    """Of raters proper: an average says nothing but what its judge's verdicts were made from."""
    here = {
        name: {pair.id: found[pair.id] for pair in rows.pairs}
        for name, found in judges.items()
        if not name.endswith(AVERAGED)
    }
    return agreements(here, PAIRS, {pair.id: pair.prompt_id for pair in rows.pairs}, human_of(rows))


def told(figure: Mapping[str, Any] | None) -> str:
    """A figure with its interval."""
    if figure is None or figure["value"] is None:
        return ""
    between = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{figure['value']:.3f}{between}".replace("-", "−")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def markdown(document: Mapping[str, Any]) -> str:
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
        rows = [_row(name, found[file], about["pairs"]) for name, found in document["judges"].items()]
        parts.append(f"### {file}, n = {about['pairs']} pairs ({about['left_out']} left out)\n\n{table(head, rows)}")
    last = list(document["agreements"].values())[-1]
    rows = [
        [", ".join(each["raters"]), told(each["figures"].get("kappa")), told(each["figures"]["alpha"])] for each in last
    ]
    parts.append(
        f"### How far raters agree, {list(document['agreements'])[-1]}\n\n{table(['raters', 'kappa', 'alpha'], rows)}"
    )
    return "\n\n".join(parts)


def _row(name: str, found: Mapping[str, Any], n: int) -> list[str]:
    figures, cost = found["figures"], found["cost"]
    shown = [told(figures[key]) for key in ("with_people", "kappa", "order_flips", "first_named")]
    tokens = cost["prompt_tokens"] + cost["generated_tokens"]
    return [name, *shown, str(found["outcomes"].get("failed", 0)), f"{tokens:,}", f"{cost['seconds'] / n:.2f}"]


@contextmanager
def no_bar(label: str, total: int, unit: str) -> Iterator[Tick]:
    del label, total, unit
    yield lambda done=1: None


def arguments() -> argparse.Namespace:
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
    given = arguments()
    if given.threads:
        torch.set_num_threads(given.threads)
    runtime = Runtime(progress=no_bar, notify=lambda text: print(text, flush=True), token_budget=given.token_budget)
    rows = [read(path, given.rows, given.longest) for path in given.files]
    kept = given.json.with_name(f"{given.json.name}.asked")
    judges: dict[str, Verdicts] = {LONGER: by_length(rows)}
    for text in given.judge:
        name, judge = judge_of(text)
        judges[name] = judged(name, judge, rows, kept, runtime)
        if (both := averaged(judges[name])) is not None:
            judges[f"{name}{AVERAGED}"] = both
    document = tried(judges, rows)
    given.json.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    print(markdown(document))


if __name__ == "__main__":
    main()
