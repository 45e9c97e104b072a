"""Match and mismatch of two sources of labels: how often they agree, and what each set is like (Tao & Li 2025, table 2)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

from trimtab import statistics
from trimtab.components import near
from trimtab.errors import DataError, StudyError
from trimtab.report.agree_sources import Both, Labeled, read_both
from trimtab.store import hand_out
from trimtab.types import Annotation, Choice, Metric

By = Literal["confidence", "length", "gold"]
BYS = get_args(By)
BINS = 4
Figures = Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """A source: its rows, those of them that prefer a response, and whether it is people."""

    name: str
    labels: int
    preferring: int
    people: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """Some of the pairs on which both prefer a response."""

    pairs: int
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The pairs of which what they are told apart by is in [low, high]."""

    low: float
    high: float
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two sources on the pairs that both label.

    `sets` holds the figures of `all`, `match` and `mismatch`, the pairs on which both prefer a response, the same, and not the
    same. `lead` and `length` are of the response that A prefers, in characters; gold rewards of what it prefers, of the other,
    and the first less the second.
    """

    a: SourceInfo
    b: SourceInfo
    shared: int
    agreement: Metric
    kappa: Metric
    sets: Mapping[str, LabelSet]
    by: str = ""
    bins: tuple[Bin, ...] = ()
    notes: tuple[str, ...] = ()


def compare(both: Both, by: By | None = None) -> Comparison:
    """Raises `DataError` where the sources prefer a response on no pair in common, and `StudyError` for `by` without what it
    reads."""
    shared = both.shared
    ours, theirs = _choices(both.a.labels, shared), _choices(both.b.labels, shared)
    preferred = [key for key in shared if ours[key] is not None and theirs[key] is not None]
    if not preferred:
        raise DataError(
            f"{both.a.name} and {both.b.name} share {len(shared)} pairs, and on none of them do both prefer a response"
        )
    match = [key for key in preferred if ours[key] == theirs[key]]
    mismatch = [key for key in preferred if ours[key] != theirs[key]]
    sets = {"all": preferred, "match": match, "mismatch": mismatch}
    return Comparison(
        a=_info(both.a),
        b=_info(both.b),
        shared=len(shared),
        agreement=statistics.agreement(ours, theirs, clusters=_prompts(both, shared)),
        kappa=statistics.cohen_kappa(ours, theirs, clusters=_prompts(both, shared)),
        sets={
            name: LabelSet(pairs=len(ids), figures=_figures(both, ids, len(preferred))) for name, ids in sets.items()
        },
        by=by or "",
        bins=tuple(_bins(both, by, preferred)) if by else (),
        notes=tuple(_notes(both)),
    )


def _info(source: Labeled) -> SourceInfo:
    preferring = sum(each.choice is not None for each in source.labels.values())
    return SourceInfo(name=source.name, labels=len(source.labels), preferring=preferring, people=source.people)


def _choices(labels: Mapping[str, Annotation], ids: Iterable[str]) -> dict[str, Choice | None]:
    return {key: labels[key].choice for key in ids}


def _figures(both: Both, ids: Sequence[str], n: int) -> dict[str, Metric]:
    """What there is to say of some of the pairs on which both prefer a response, of which there are `n`."""
    found = {"share": statistics.proportion(len(ids), n)}
    known = {key: both.pairs[key] for key in ids} if both.pairs else {}
    human = {key: pair.human for key, pair in known.items() if pair.human is not None}
    for side, source in (("a", both.a), ("b", both.b)):
        if not source.people:
            found[f"confidence_{side}"] = _mean(both, {key: _confidence(source.labels[key]) for key in ids})
            if human:
                found[f"accuracy_{side}"] = statistics.agreement(
                    _choices(source.labels, human), human, clusters=_prompts(both, human)
                )
    if known:
        preferred = {key: _preferred(both, key) for key in ids}
        found["lead"] = _mean(both, {key: pair.lead(preferred[key]) for key, pair in known.items()})
        found["length"] = _mean(both, {key: len(pair.response(preferred[key])) for key, pair in known.items()})
    for name, rewards in both.gold.items():
        found |= _gold(both, name, {key: rewards[key] for key in ids if key in rewards})
    return found


def _gold(both: Both, name: str, rewards: Mapping[str, tuple[float, float]]) -> dict[str, Metric]:
    """Mean gold rewards of what A prefers, of the other response, and of their difference (Tao & Li 2025, table 2)."""
    if not rewards:
        return {}
    ordered = {key: (a, b) if _preferred(both, key) == "a" else (b, a) for key, (a, b) in rewards.items()}
    return {
        f"gold_preferred.{name}": _mean(both, {key: first for key, (first, _) in ordered.items()}),
        f"gold_other.{name}": _mean(both, {key: second for key, (_, second) in ordered.items()}),
        f"gold_difference.{name}": _mean(both, {key: first - second for key, (first, second) in ordered.items()}),
    }


def _prompts(both: Both, ids: Iterable[str]) -> dict[str, str] | None:
    """The prompt of each pair, where that is known: pairs of one prompt are not independent."""
    return {key: both.pairs[key].prompt_id for key in ids} if both.pairs else None


def _mean(both: Both, values: Mapping[str, float]) -> Metric:
    """Over pairs, of which those of one prompt are drawn together where prompts are known."""
    clusters = [both.pairs[key].prompt_id for key in values] if both.pairs else None
    return statistics.mean(list(values.values()), clusters=clusters)


def _preferred(both: Both, key: str) -> Choice:
    """What A prefers. To be asked of pairs on which it prefers a response."""
    return "a" if both.a.labels[key].choice == "a" else "b"


def _confidence(label: Annotation) -> float:
    return 0.5 if label.p_a is None else max(label.p_a, 1 - label.p_a)


def _bins(both: Both, by: By, ids: Sequence[str]) -> list[Bin]:
    """The pairs in order of A's confidence, of how far apart the responses are in length, or in gold reward; equal ones stay
    together, so that there may be fewer bins than `BINS`."""
    sizes = _sizes(both, by, ids)
    groups: list[list[str]] = []
    for _, same in groupby(sorted(sizes, key=lambda key: (sizes[key], key)), key=sizes.__getitem__):
        if not groups or sum(map(len, groups)) >= len(groups) * len(sizes) / BINS:
            groups.append([])
        groups[-1] += same
    return [Bin(low=sizes[each[0]], high=sizes[each[-1]], figures=_agreed(both, each)) for each in groups]


def _agreed(both: Both, ids: Sequence[str]) -> dict[str, Metric]:
    ours, theirs = (_choices(source.labels, ids) for source in (both.a, both.b))
    accuracies = {name: each for name, each in _figures(both, ids, len(ids)).items() if name.startswith("accuracy_")}
    return {"agreement": statistics.agreement(ours, theirs, clusters=_prompts(both, ids)), **accuracies}


def _sizes(both: Both, by: By, ids: Sequence[str]) -> dict[str, float]:
    """What the pairs are told apart by. Raises `StudyError` where it is not known."""
    if by == "confidence":
        return {key: _confidence(both.a.labels[key]) for key in ids}
    if by == "length" and both.pairs:
        return {key: float(abs(len(both.pairs[key].a) - len(both.pairs[key].b))) for key in ids}
    rewards = next(iter(both.gold.values()), {})
    if by == "gold" and any(key in rewards for key in ids):
        return {key: abs(rewards[key][0] - rewards[key][1]) for key in ids if key in rewards}
    raise StudyError(
        "--by length: the pairs' texts are needed; give --pairs FILE, or an arm of a run as DIR:ARM"
        if by == "length"
        else "--by gold: no gold reward has read these pairs; set reward_unlabeled: true in the run's study"
    )


def _notes(both: Both) -> list[str]:
    notes = []
    for source in (both.a, both.b):
        strange = sum(key not in both.pairs for key in source.labels) if both.pairs else 0
        if strange:
            notes.append(
                f"{strange} of the {len(source.labels)} labels of {source.name} are of other pairs and left out"
            )
    if not both.pairs:
        notes.append(
            "Lengths and accuracy against people need the pairs: give --pairs FILE, or an arm of a run as DIR:ARM"
        )
    elif all(both.pairs[key].human is None for key in both.shared):
        notes.append("No pair that both label has a human label, so there is no accuracy")
    return notes


def to_json(compared: Comparison) -> dict[str, Any]:
    """Plain JSON values: every figure is {"value", "low", "high", "n", "n_failed"}."""
    return {
        "a": asdict(compared.a),
        "b": asdict(compared.b),
        "shared": compared.shared,
        "agreement": asdict(compared.agreement),
        "kappa": asdict(compared.kappa),
        "sets": {
            name: {"pairs": each.pairs, **{key: asdict(metric) for key, metric in each.figures.items()}}
            for name, each in compared.sets.items()
        },
        "by": compared.by,
        "bins": [
            {"low": each.low, "high": each.high, **{key: asdict(metric) for key, metric in each.figures.items()}}
            for each in compared.bins
        ],
        "notes": list(compared.notes),
    }


def analyzed(a: str, b: str, by: str | None, pairs: Path | None, to: Path | None) -> Comparison:
    """Reads the sources, compares them and writes the figures as JSON where `to` is given. Raises as `read_both` and `compare`
    do, `StudyError` before any reading for `by`, and `StoreError` where `to` cannot be written."""
    known = next((each for each in BYS if each == by), None)
    if by is not None and known is None:
        raise StudyError(f"--by {by}: must be one of {', '.join(BYS)}{near(by, BYS)}")
    compared = compare(read_both(a, b, pairs), known)
    if to is not None:
        hand_out(to, json.dumps(to_json(compared), indent=1, ensure_ascii=False, allow_nan=False))
    return compared
