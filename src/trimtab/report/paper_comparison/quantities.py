"""Computes a run's counterpart of each published number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch

from trimtab import stats
from trimtab.errors import DataError, StudyError
from trimtab.report.collect.arm_values import compute_mean_metric
from trimtab.report.collect.judges import collect_judge_results
from trimtab.report.collect.similarities import collect_similarities
from trimtab.report.label_comparison.metrics import compare_labels
from trimtab.report.label_comparison.sources import LabelSourcePair, read_label_sources
from trimtab.report.paper_comparison.published import (
    DifferenceNumber,
    JudgeNumber,
    LabelNumber,
    PublishedNumber,
    RowNumber,
    SeedNumber,
    SimilarityNumber,
)
from trimtab.report.paper_comparison.runs import StudyRuns, VariantRun
from trimtab.types import Metric

AGREEMENT_GAIN = "agreement_gain"
MISSING = "not in the runs"
DIFFERENT_SCORERS = "different scorers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """The run's value of a published number; None with the reason in `missing`."""

    metric: Metric | None = None
    missing: str = ""


@singledispatch
def compute_quantity(number: PublishedNumber, runs: StudyRuns) -> Quantity:
    """The runs' value of a published number."""
    raise NotImplementedError(f"{type(number).__name__} {number.name} of {len(runs.by_variant)} runs")


@compute_quantity.register
def _(number: RowNumber, runs: StudyRuns) -> Quantity:
    values = runs.values(number.row, number.metric)
    found, arm = runs.find(number.row)
    if found is None or not values:
        return Quantity(missing=MISSING)
    failed = found.arm_values[arm].failed_counts.get(number.metric, 0)
    return Quantity(metric=compute_mean_metric(number.metric, values, failed, found.run.prompt_ids))


@compute_quantity.register
def _(number: DifferenceNumber, runs: StudyRuns) -> Quantity:
    return compute_difference(runs, number.row, number.minus, number.metric)


@compute_quantity.register
def _(number: LabelNumber, runs: StudyRuns) -> Quantity:
    found, arm = runs.find(number.labels)
    if found is None:
        return Quantity(missing=MISSING)
    try:
        folder = found.run.folder
        sources = read_label_sources(f"{folder}:{arm}", f"{folder}:{number.compared_with}", None)
        if number.metric == AGREEMENT_GAIN:
            gain = compute_agreement_gain(sources)
            return Quantity(metric=gain) if gain else Quantity(missing=MISSING)
        comparison = compare_labels(sources)
    except (DataError, StudyError) as error:
        return Quantity(missing=str(error))
    metrics = {**comparison.subsets[number.pairs].metrics, "agreement": comparison.agreement, "kappa": comparison.kappa}
    # a reward's name has the scorer, as in `gold_margin.proxy`; a study with one scorer needs no name
    full_name = next((name for name in metrics if number.metric in (name, name.partition(".")[0])), None)
    return Quantity(metric=metrics[full_name]) if full_name else Quantity(missing=MISSING)


@compute_quantity.register
def _(number: JudgeNumber, runs: StudyRuns) -> Quantity:
    found, arm = runs.find(number.row or "")
    judges = collect_judge_results(found.run).judges if found else ()
    if not judges:
        return Quantity(missing=MISSING)
    metrics: Mapping[str, Metric] = judges[0].metrics
    if number.row is not None:
        metrics = judges[0].arms[arm].metrics if arm in judges[0].arms else {}
    return Quantity(metric=metrics[number.metric]) if number.metric in metrics else Quantity(missing=MISSING)


@compute_quantity.register
def _(number: SeedNumber, runs: StudyRuns) -> Quantity:
    by_seed = []
    for each in runs.by_variant.values():
        values = _row_values(each, number.row, number.metric)
        baseline = _row_values(each, number.minus, number.metric) if number.minus else dict.fromkeys(values, 0.0)
        by_seed.append({key: value - baseline[key] for key, value in values.items() if key in baseline})
    by_seed = [values for values in by_seed if values]
    if len(by_seed) < 2:
        return Quantity(missing=MISSING)
    if number.statistic == "variance":
        return Quantity(metric=stats.summarize_seeds([sum(v.values()) / len(v) for v in by_seed]).variance)
    clusters = {key: key for values in by_seed for key in values}
    return Quantity(
        metric=stats.mean_over_seeds_and_rows(by_seed, clusters=clusters, differences=number.minus is not None)
    )


@compute_quantity.register
def _(number: SimilarityNumber, runs: StudyRuns) -> Quantity:
    found, arm = runs.find(number.row)
    correlations = collect_similarities(found.run).correlations if found else ()
    correlation = next((each for each in correlations if each.arm == arm), None)
    return Quantity(metric=getattr(correlation, number.metric)) if correlation else Quantity(missing=MISSING)


@singledispatch
def compute_row_gain(number: PublishedNumber, runs: StudyRuns, rows: tuple[str, str]) -> Quantity:
    """The difference of the two rows that an expectation's `share_of` names, in the unit of the number's metric."""
    return compute_difference(runs, *rows, getattr(number, "metric", "gold_reward"))


@compute_row_gain.register
def _(number: SeedNumber, runs: StudyRuns, rows: tuple[str, str]) -> Quantity:
    return compute_quantity(number.model_copy(update={"row": rows[0], "minus": rows[1], "statistic": "mean"}), runs)


def compute_difference(runs: StudyRuns, row: str, minus: str, metric: str) -> Quantity:
    """The paired difference of two rows, over the prompts or pairs that both have."""
    values, baseline = runs.values(row, metric), runs.values(minus, metric)
    found, _ = runs.find(row)
    if found is None or not values.keys() & baseline.keys():
        return Quantity(missing=MISSING)
    if not runs.share_scorer(row, minus, metric):
        return Quantity(missing=DIFFERENT_SCORERS)
    clusters = {key: found.run.prompt_ids.get(key, key) for key in values}
    return Quantity(metric=stats.paired_difference(values, baseline, clusters=clusters))


def _row_values(found: VariantRun, arm: str, metric: str) -> Mapping[str, float]:
    values = found.arm_values.get(arm)
    return values.values.get(metric, {}) if values else {}


def compute_agreement_gain(sources: LabelSourcePair) -> Metric | None:
    """The agreement on the half of the pairs with the larger gap in gold reward, minus that on the other half.

    None for fewer than two pairs with a gold reward and a choice from both sources.
    """
    rewards = next(iter(sources.gold_rewards.values()), {})
    choices = {key: (sources.a.labels[key].choice, sources.b.labels[key].choice) for key in sources.shared_ids}
    decided = [key for key, pair in choices.items() if None not in pair and key in rewards]
    if len(decided) < 2:
        return None
    ordered = sorted(decided, key=lambda key: (abs(rewards[key][0] - rewards[key][1]), key))
    agreement = {key: float(choices[key][0] == choices[key][1]) for key in ordered}
    half = len(ordered) // 2
    lower, upper = ({key: agreement[key] for key in part} for part in (ordered[:half], ordered[half:]))
    prompt_ids = {key: sources.pairs[key].prompt_id for key in ordered} if sources.pairs else None
    return stats.group_difference(upper, lower, clusters=prompt_ids)
