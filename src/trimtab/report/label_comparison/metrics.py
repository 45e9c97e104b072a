"""Match and mismatch of two label sources: agreement, and metrics of the matching and mismatching pairs.

Follows Tao & Li (2025), section 4 and table 2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

from trimtab import stats
from trimtab.core.validation_errors import format_suggestion
from trimtab.errors import DataError, StudyError
from trimtab.metrics.label_quality import (
    Labels,
    compute_agreement,
    compute_clustered_mean,
    compute_higher_reward_rate,
    compute_kappa,
    compute_mean_confidence,
    get_choices,
    get_confidence,
    get_human_choices,
    split_by_match,
)
from trimtab.report.label_comparison.sources import LabelSource, LabelSourcePair, read_label_sources
from trimtab.sources.file import File
from trimtab.storage.atomic import write_output
from trimtab.types import Choice, Metric

BinVariable = Literal["confidence", "length", "gold"]
BIN_VARIABLES = get_args(BinVariable)
NUM_BINS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSourceInfo:
    """The number of labels in a source, and of those that prefer a response."""

    name: str
    num_labels: int
    num_with_choice: int
    is_human: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSubset:
    """Metrics of a subset of the pairs on which both sources have a choice."""

    num_pairs: int
    metrics: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBin:
    """Metrics of the pairs whose bin variable is in [low, high]."""

    low: float
    high: float
    metrics: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelComparison:
    """Two label sources on the pairs that both label.

    `subsets` has the keys `all`, `match` and `mismatch`, for pairs on which both have a choice. Chosen is the response that
    A prefers: `chosen_length` and `length_difference` (chosen minus rejected) are in characters, and `gold_chosen`,
    `gold_rejected` and `gold_margin` (chosen minus rejected) are gold rewards. `gold_higher` is the share of pairs on which
    the chosen response has the higher gold reward, equal rewards counting one half. Names that end in `_b`
    are those of the response that B prefers.
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


def compare_labels(sources: LabelSourcePair, bin_variable: BinVariable | None = None) -> LabelComparison:
    """Raises `DataError` if no shared pair has a choice from both sources, and `StudyError` if the bin variable is unknown
    for these pairs."""
    shared = sources.shared_ids
    labels_a, labels_b = _select(sources.a.labels, shared), _select(sources.b.labels, shared)
    choices_b = get_choices(labels_b)
    decided = [key for key in shared if labels_a[key].choice is not None and choices_b[key] is not None]
    if not decided:
        raise DataError(
            f"{sources.a.name} and {sources.b.name} share {len(shared)} pairs, "
            "but none on which both sources prefer a response"
        )
    matched = split_by_match(get_choices(labels_a), choices_b)
    prompt_ids = _prompt_ids(sources, shared)
    return LabelComparison(
        a=_source_info(sources.a),
        b=_source_info(sources.b),
        num_shared=len(shared),
        agreement=compute_agreement(labels_a, choices_b, prompt_ids),
        kappa=compute_kappa(labels_a, choices_b, prompt_ids),
        subsets={
            name: PairSubset(num_pairs=len(ids), metrics=_subset_metrics(sources, ids, len(decided)))
            for name, ids in (("all", decided), *matched.items())
        },
        bin_variable=bin_variable or "",
        bins=tuple(_bin_pairs(sources, bin_variable, decided)) if bin_variable else (),
        notes=tuple(_notes(sources)),
    )


def _source_info(source: LabelSource) -> LabelSourceInfo:
    return LabelSourceInfo(
        name=source.name,
        num_labels=len(source.labels),
        num_with_choice=sum(label.choice is not None for label in source.labels.values()),
        is_human=source.is_human,
    )


def _select(labels: Labels, ids: Iterable[str]) -> Labels:
    return {key: labels[key] for key in ids}


def _prompt_ids(sources: LabelSourcePair, ids: Iterable[str]) -> dict[str, str] | None:
    """The prompt of each pair; None if the pairs are unknown. Pairs with the same prompt are not independent."""
    return {key: sources.pairs[key].prompt_id for key in ids} if sources.pairs else None


def _subset_metrics(sources: LabelSourcePair, ids: Sequence[str], n: int) -> dict[str, Metric]:
    """The metrics of some of the `n` pairs on which both sources have a choice."""
    prompt_ids = _prompt_ids(sources, ids)
    metrics = {"share": stats.proportion(len(ids), n)}
    pairs = [sources.pairs[key] for key in ids] if sources.pairs else []
    human = get_human_choices(pairs)
    for side, source in (("a", sources.a), ("b", sources.b)):
        if not source.is_human:
            metrics[f"confidence_{side}"] = compute_mean_confidence(_select(source.labels, ids), prompt_ids)
            if human:
                metrics[f"accuracy_{side}"] = compute_agreement(_select(source.labels, human), human, prompt_ids)
    if pairs:
        chosen = {pair.id: _chosen_by_a(sources, pair.id) for pair in pairs}
        differences = {pair.id: pair.length_difference(chosen[pair.id]) for pair in pairs}
        metrics["length_difference"] = compute_clustered_mean(differences, prompt_ids)
        lengths = {pair.id: len(pair.response(chosen[pair.id])) for pair in pairs}
        metrics["chosen_length"] = compute_clustered_mean(lengths, prompt_ids)
    for scorer, rewards in sources.gold_rewards.items():
        metrics |= _gold_reward_metrics(sources, scorer, ids, rewards)
    return metrics


def _gold_reward_metrics(
    sources: LabelSourcePair, scorer: str, ids: Sequence[str], all_rewards: Mapping[str, tuple[float, float]]
) -> dict[str, Metric]:
    """Mean gold rewards of the chosen and rejected response, their margin (Tao & Li 2025, table 2), and how often the chosen
    one is higher (section 4: 44.3% of the mismatch set). `n_failed` counts pairs without a reward."""
    rewards = {key: all_rewards[key] for key in ids if key in all_rewards}
    if not rewards:
        return {}
    prompt_ids = _prompt_ids(sources, rewards)
    ordered = {key: _order_rewards(sources.a, key, rewards[key]) for key in rewards}
    ordered_by_b = {key: _order_rewards(sources.b, key, rewards[key]) for key in rewards}
    values = {
        f"{name}{suffix}": by_pair
        for suffix, each in (("", ordered), ("_b", ordered_by_b))
        for name, by_pair in (
            ("gold_chosen", {key: chosen for key, (chosen, _) in each.items()}),
            ("gold_rejected", {key: rejected for key, (_, rejected) in each.items()}),
            ("gold_margin", {key: chosen - rejected for key, (chosen, rejected) in each.items()}),
        )
    }
    metrics = {name: compute_clustered_mean(by_pair, prompt_ids) for name, by_pair in values.items()}
    metrics["gold_higher"] = compute_higher_reward_rate(ordered, prompt_ids)
    n_failed = len(ids) - len(rewards)
    return {f"{name}.{scorer}": replace(metric, n_failed=n_failed) for name, metric in metrics.items()}


def _order_rewards(source: LabelSource, key: str, rewards: tuple[float, float]) -> tuple[float, float]:
    """The rewards of the response that the source prefers and of the other one, for a pair on which it has a choice."""
    return rewards if source.labels[key].choice == "a" else rewards[::-1]


def _chosen_by_a(sources: LabelSourcePair, key: str) -> Choice:
    """A's choice, for a pair on which it has one."""
    return "a" if sources.a.labels[key].choice == "a" else "b"


def _bin_pairs(sources: LabelSourcePair, bin_variable: BinVariable, ids: Sequence[str]) -> list[PairBin]:
    """Quantile bins of the bin variable. Equal values share a bin, so there may be fewer than `NUM_BINS`."""
    values = _bin_values(sources, bin_variable, ids)
    bins: list[list[str]] = []
    for _, same in groupby(sorted(values, key=lambda key: (values[key], key)), key=values.__getitem__):
        if not bins or sum(map(len, bins)) >= len(bins) * len(values) / NUM_BINS:
            bins.append([])
        bins[-1] += same
    return [PairBin(low=values[keys[0]], high=values[keys[-1]], metrics=_bin_metrics(sources, keys)) for keys in bins]


def _bin_metrics(sources: LabelSourcePair, ids: Sequence[str]) -> dict[str, Metric]:
    labels_a, labels_b = (_select(source.labels, ids) for source in (sources.a, sources.b))
    accuracies = {
        name: metric for name, metric in _subset_metrics(sources, ids, len(ids)).items() if name.startswith("accuracy_")
    }
    return {"agreement": compute_agreement(labels_a, get_choices(labels_b), _prompt_ids(sources, ids)), **accuracies}


def _bin_values(sources: LabelSourcePair, bin_variable: BinVariable, ids: Sequence[str]) -> dict[str, float]:
    """A's confidence, the absolute length difference, or the absolute gold reward margin, by pair.

    Raises `StudyError` if the variable is unknown for these pairs.
    """
    if bin_variable == "confidence":
        return {key: get_confidence(sources.a.labels[key]) for key in ids}
    if bin_variable == "length" and sources.pairs:
        return {key: float(abs(sources.pairs[key].length_difference("a"))) for key in ids}
    rewards = next(iter(sources.gold_rewards.values()), {})
    if bin_variable == "gold" and any(key in rewards for key in ids):
        return {key: abs(rewards[key][0] - rewards[key][1]) for key in ids if key in rewards}
    raise StudyError(
        "--by length: requires the texts of the pairs; add --pairs FILE, or use an arm of a run as DIR:ARM"
        if bin_variable == "length"
        else "--by gold: these pairs have no gold rewards; set score_unlabeled_pairs: true in the run's study"
    )


def _notes(sources: LabelSourcePair) -> list[str]:
    notes = []
    for source in (sources.a, sources.b):
        num_unknown = sum(key not in sources.pairs for key in source.labels) if sources.pairs else 0
        if num_unknown:
            notes.append(
                f"{num_unknown} of the {len(source.labels)} labels of {source.name} are for other pairs and left out"
            )
    if not sources.pairs:
        notes.append("Lengths and accuracy require the pairs: add --pairs FILE, or use an arm of a run as DIR:ARM")
    elif all(sources.pairs[key].human is None for key in sources.shared_ids):
        notes.append("No shared pair has a human label, so there is no accuracy")
    return notes


def label_comparison_to_json(comparison: LabelComparison) -> dict[str, Any]:
    """Plain JSON values; every metric is {"value", "low", "high", "n", "n_failed"}."""
    return {
        "a": asdict(comparison.a),
        "b": asdict(comparison.b),
        "num_shared": comparison.num_shared,
        "agreement": asdict(comparison.agreement),
        "kappa": asdict(comparison.kappa),
        "subsets": {
            name: {"num_pairs": subset.num_pairs, **_metrics_to_json(subset.metrics)}
            for name, subset in comparison.subsets.items()
        },
        "bin_variable": comparison.bin_variable,
        "bins": [
            {"low": pair_bin.low, "high": pair_bin.high, **_metrics_to_json(pair_bin.metrics)}
            for pair_bin in comparison.bins
        ],
        "notes": list(comparison.notes),
    }


def _metrics_to_json(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: asdict(metric) for name, metric in metrics.items()}


def compare_label_sources(
    a: str, b: str, by: str | None, pair_file: File | None, output: Path | None
) -> LabelComparison:
    """Reads and compares two sources; writes the metrics as JSON to `output` if given.

    Raises `StudyError` for an unknown `by` before any file is read, the errors of `read_label_sources` and `compare_labels`,
    and `StoreError` if `output` cannot be written.
    """
    bin_variable = next((variable for variable in BIN_VARIABLES if variable == by), None)
    if by is not None and bin_variable is None:
        raise StudyError(f"--by {by}: expected one of {', '.join(BIN_VARIABLES)}{format_suggestion(by, BIN_VARIABLES)}")
    comparison = compare_labels(read_label_sources(a, b, pair_file), bin_variable)
    if output is not None:
        document = label_comparison_to_json(comparison)
        write_output(output, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    return comparison
