"""Match and mismatch of two sources of labels: how often they agree, and what each set is like (Tao & Li 2025, table 2)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

from trimtab import stats
from trimtab.core.validation_errors import format_suggestion
from trimtab.errors import DataError, StudyError
from trimtab.report.label_comparison.sources import LabelSource, LabelSourcePair, read_label_sources
from trimtab.storage.atomic import write_output
from trimtab.types import Annotation, Choice, Metric

BinVariable = Literal["confidence", "length", "gold"]
BIN_VARIABLES = get_args(BinVariable)
NUM_BINS = 4
MetricsByName = Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSourceInfo:
    """A source: its rows, those of them that prefer a response, and whether it is people."""

    name: str
    num_labels: int
    num_with_choice: int
    is_human: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSubset:
    """Some of the pairs on which both prefer a response."""

    num_pairs: int
    metrics: MetricsByName


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBin:
    """The pairs of which what they are told apart by is in [low, high]."""

    low: float
    high: float
    metrics: MetricsByName


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelComparison:
    """Two sources on the pairs that both label.

    `sets` holds the figures of `all`, `match` and `mismatch`, the pairs on which both prefer a response, the same, and not the
    same. `lead` and `length` are of the response that A prefers, in characters; gold rewards of what it prefers, of the other,
    and the first less the second.
    """

    a: LabelSourceInfo
    b: LabelSourceInfo
    num_shared: int
    agreement: Metric
    kappa: Metric
    subsets: Mapping[str, PairSubset]
    bin_variable: str = ""
    bins: tuple[PairBin, ...] = ()
    notes: tuple[str, ...] = ()


def compare_labels(both: LabelSourcePair, by: BinVariable | None = None) -> LabelComparison:
    """Raises `DataError` where the sources prefer a response on no pair in common, and `StudyError` for `by` without what it
    reads."""
    shared = both.shared_ids
    ours, theirs = _choices(both.a.labels, shared), _choices(both.b.labels, shared)
    preferred = [key for key in shared if ours[key] is not None and theirs[key] is not None]
    if not preferred:
        raise DataError(
            f"{both.a.name} and {both.b.name} share {len(shared)} pairs, and on none of them do both prefer a response"
        )
    match = [key for key in preferred if ours[key] == theirs[key]]
    mismatch = [key for key in preferred if ours[key] != theirs[key]]
    sets = {"all": preferred, "match": match, "mismatch": mismatch}
    return LabelComparison(
        a=_source_info(both.a),
        b=_source_info(both.b),
        num_shared=len(shared),
        agreement=stats.agreement_rate(ours, theirs, clusters=_prompt_clusters(both, shared)),
        kappa=stats.cohen_kappa(ours, theirs, clusters=_prompt_clusters(both, shared)),
        subsets={
            name: PairSubset(num_pairs=len(ids), metrics=_subset_metrics(both, ids, len(preferred)))
            for name, ids in sets.items()
        },
        bin_variable=by or "",
        bins=tuple(_bin_pairs(both, by, preferred)) if by else (),
        notes=tuple(_notes(both)),
    )


def _source_info(source: LabelSource) -> LabelSourceInfo:
    preferring = sum(each.choice is not None for each in source.labels.values())
    return LabelSourceInfo(
        name=source.name, num_labels=len(source.labels), num_with_choice=preferring, is_human=source.is_human
    )


def _choices(labels: Mapping[str, Annotation], ids: Iterable[str]) -> dict[str, Choice | None]:
    return {key: labels[key].choice for key in ids}


def _subset_metrics(both: LabelSourcePair, ids: Sequence[str], n: int) -> dict[str, Metric]:
    """What there is to say of some of the pairs on which both prefer a response, of which there are `n`."""
    found = {"share": stats.proportion(len(ids), n)}
    known = {key: both.pairs[key] for key in ids} if both.pairs else {}
    human = {key: pair.human for key, pair in known.items() if pair.human is not None}
    for side, source in (("a", both.a), ("b", both.b)):
        if not source.is_human:
            found[f"confidence_{side}"] = _clustered_mean(both, {key: _confidence(source.labels[key]) for key in ids})
            if human:
                found[f"accuracy_{side}"] = stats.agreement_rate(
                    _choices(source.labels, human), human, clusters=_prompt_clusters(both, human)
                )
    if known:
        preferred = {key: _preferred_by_a(both, key) for key in ids}
        found["lead"] = _clustered_mean(
            both, {key: pair.length_difference(preferred[key]) for key, pair in known.items()}
        )
        found["length"] = _clustered_mean(
            both, {key: len(pair.response(preferred[key])) for key, pair in known.items()}
        )
    for name, rewards in both.gold_rewards.items():
        found |= _gold_reward_metrics(both, name, {key: rewards[key] for key in ids if key in rewards})
    return found


def _gold_reward_metrics(
    both: LabelSourcePair, name: str, rewards: Mapping[str, tuple[float, float]]
) -> dict[str, Metric]:
    """Mean gold rewards of what A prefers, of the other response, and of their difference (Tao & Li 2025, table 2)."""
    if not rewards:
        return {}
    ordered = {key: (a, b) if _preferred_by_a(both, key) == "a" else (b, a) for key, (a, b) in rewards.items()}
    return {
        f"gold_preferred.{name}": _clustered_mean(both, {key: first for key, (first, _) in ordered.items()}),
        f"gold_other.{name}": _clustered_mean(both, {key: second for key, (_, second) in ordered.items()}),
        f"gold_difference.{name}": _clustered_mean(
            both, {key: first - second for key, (first, second) in ordered.items()}
        ),
    }


def _prompt_clusters(both: LabelSourcePair, ids: Iterable[str]) -> dict[str, str] | None:
    """The prompt of each pair, where that is known: pairs of one prompt are not independent."""
    return {key: both.pairs[key].prompt_id for key in ids} if both.pairs else None


def _clustered_mean(both: LabelSourcePair, values: Mapping[str, float]) -> Metric:
    """Over pairs, of which those of one prompt are drawn together where prompts are known."""
    clusters = [both.pairs[key].prompt_id for key in values] if both.pairs else None
    return stats.mean(list(values.values()), clusters=clusters)


def _preferred_by_a(both: LabelSourcePair, key: str) -> Choice:
    """What A prefers. To be asked of pairs on which it prefers a response."""
    return "a" if both.a.labels[key].choice == "a" else "b"


def _confidence(label: Annotation) -> float:
    return 0.5 if label.p_a is None else max(label.p_a, 1 - label.p_a)


def _bin_pairs(both: LabelSourcePair, by: BinVariable, ids: Sequence[str]) -> list[PairBin]:
    """The pairs in order of A's confidence, of how far apart the responses are in length, or in gold reward; equal ones stay
    together, so that there may be fewer bins than `BINS`."""
    sizes = _bin_values(both, by, ids)
    groups: list[list[str]] = []
    for _, same in groupby(sorted(sizes, key=lambda key: (sizes[key], key)), key=sizes.__getitem__):
        if not groups or sum(map(len, groups)) >= len(groups) * len(sizes) / NUM_BINS:
            groups.append([])
        groups[-1] += same
    return [PairBin(low=sizes[each[0]], high=sizes[each[-1]], metrics=_bin_metrics(both, each)) for each in groups]


def _bin_metrics(both: LabelSourcePair, ids: Sequence[str]) -> dict[str, Metric]:
    ours, theirs = (_choices(source.labels, ids) for source in (both.a, both.b))
    accuracies = {
        name: each for name, each in _subset_metrics(both, ids, len(ids)).items() if name.startswith("accuracy_")
    }
    return {"agreement": stats.agreement_rate(ours, theirs, clusters=_prompt_clusters(both, ids)), **accuracies}


def _bin_values(both: LabelSourcePair, by: BinVariable, ids: Sequence[str]) -> dict[str, float]:
    """What the pairs are told apart by. Raises `StudyError` where it is not known."""
    if by == "confidence":
        return {key: _confidence(both.a.labels[key]) for key in ids}
    if by == "length" and both.pairs:
        return {key: float(abs(len(both.pairs[key].a) - len(both.pairs[key].b))) for key in ids}
    rewards = next(iter(both.gold_rewards.values()), {})
    if by == "gold" and any(key in rewards for key in ids):
        return {key: abs(rewards[key][0] - rewards[key][1]) for key in ids if key in rewards}
    raise StudyError(
        "--by length: the pairs' texts are needed; give --pairs FILE, or an arm of a run as DIR:ARM"
        if by == "length"
        else "--by gold: no gold reward has read these pairs; set reward_unlabeled: true in the run's study"
    )


def _notes(both: LabelSourcePair) -> list[str]:
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
    elif all(both.pairs[key].human is None for key in both.shared_ids):
        notes.append("No pair that both label has a human label, so there is no accuracy")
    return notes


def label_comparison_to_json(compared: LabelComparison) -> dict[str, Any]:
    """Plain JSON values: every figure is {"value", "low", "high", "n", "n_failed"}."""
    return {
        "a": asdict(compared.a),
        "b": asdict(compared.b),
        "shared": compared.num_shared,
        "agreement": asdict(compared.agreement),
        "kappa": asdict(compared.kappa),
        "sets": {
            name: {"pairs": each.num_pairs, **{key: asdict(metric) for key, metric in each.metrics.items()}}
            for name, each in compared.subsets.items()
        },
        "by": compared.bin_variable,
        "bins": [
            {"low": each.low, "high": each.high, **{key: asdict(metric) for key, metric in each.metrics.items()}}
            for each in compared.bins
        ],
        "notes": list(compared.notes),
    }


def compare_label_sources(a: str, b: str, by: str | None, pairs: Path | None, to: Path | None) -> LabelComparison:
    """Reads the sources, compares them and writes the figures as JSON where `to` is given. Raises as `read_both` and `compare`
    do, `StudyError` before any reading for `by`, and `StoreError` where `to` cannot be written."""
    known = next((each for each in BIN_VARIABLES if each == by), None)
    if by is not None and known is None:
        raise StudyError(f"--by {by}: must be one of {', '.join(BIN_VARIABLES)}{format_suggestion(by, BIN_VARIABLES)}")
    compared = compare_labels(read_label_sources(a, b, pairs), known)
    if to is not None:
        write_output(to, json.dumps(label_comparison_to_json(compared), indent=1, ensure_ascii=False, allow_nan=False))
    return compared
