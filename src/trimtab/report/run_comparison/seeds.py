"""One study run with several seeds: each arm's metrics aggregated over the seeds, and their spread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab import stats
from trimtab.config.study import Study
from trimtab.report.collect.arm_values import ArmValues
from trimtab.types import Metric, Pair

# Differences are computed to these rows if the study has them, and to the rows that the study requests.
DEFAULT_BASELINES = ("sft", "human", "weak", "flipped")

SHARED_SPLIT_NOTE = (
    "The runs are one study with several seeds and the same test pairs. Intervals of means and differences cover variation "
    "over seeds and test pairs; differences are paired within a seed."
)
SEPARATE_SPLITS_NOTE = (
    "The runs are one study with several seeds, and each seed has its own split and test pairs. Intervals are over the means "
    "of seeds, n counts seeds, and the SD covers both seeds and splits; differences are paired within a seed. Set "
    "`split.seed` so that seeds share their pairs: the comparison is then more precise."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedAggregate:
    """A metric of one arm over several seeds.

    `mean` has an interval over seeds and rows, `std` is the standard deviation across seeds, and `differences` to baseline
    rows are paired within a seed. `n` counts seeds in `std`, and everywhere if each seed has its own test pairs.
    """

    arm: str
    metric: str
    mean: Metric
    std: Metric
    differences: Mapping[str, Metric]


def differ_only_in_seed(studies: Sequence[Study]) -> bool:
    """Whether these are one study, each with a different seed."""
    settings = {study.model_copy(update={"seed": 0}).to_yaml() for study in studies}
    return len(settings) == 1 and len({study.seed for study in studies}) == len(studies) > 1


def have_same_test_pairs(test_sets: Sequence[Sequence[Pair]]) -> bool:
    first, *others = ({pair.id for pair in test_set} for test_set in test_sets)
    return all(ids == first for ids in others)


def aggregate_over_seeds(
    runs: Sequence[Mapping[str, ArmValues]],
    clusters: Mapping[str, Hashable],
    compare_with: Mapping[str, Sequence[str]] | None = None,
    *,
    shared_test_pairs: bool,
) -> list[SeedAggregate]:
    """Aggregates every metric that all runs have, by arm.

    `clusters` maps a test pair to its prompt; rows without an entry are their own cluster. Differences are to
    `DEFAULT_BASELINES` and to the rows in `compare_with`, by arm. Without `shared_test_pairs`, only the means of seeds are
    aggregated.
    """
    common = [
        (arm, metric)
        for arm, values in runs[0].items()
        for metric in values.values
        if all(arm in run and metric in run[arm].values for run in runs)
    ]

    def pool(values: Sequence[Mapping[str, float]], differences: bool) -> Metric:
        if not shared_test_pairs:
            return stats.summarize_seeds(_seed_means(values)).mean
        prompts = {key: clusters.get(key, key) for run in values for key in run}
        return stats.mean_over_seeds_and_rows(values, clusters=prompts, differences=differences)

    def baselines(arm: str, metric: str) -> list[str]:
        candidates = dict.fromkeys((*DEFAULT_BASELINES, *(compare_with or {}).get(arm, ())))
        return [baseline for baseline in candidates if baseline != arm and (baseline, metric) in common]

    return [_aggregate_metric(runs, arm, metric, baselines(arm, metric), pool) for arm, metric in common]


def list_baselines(aggregates: Iterable[SeedAggregate]) -> list[str]:
    """The baselines of any of these differences, `DEFAULT_BASELINES` first."""
    baselines = dict.fromkeys(baseline for aggregate in aggregates for baseline in aggregate.differences)
    return [
        *(baseline for baseline in DEFAULT_BASELINES if baseline in baselines),
        *(baseline for baseline in baselines if baseline not in DEFAULT_BASELINES),
    ]


def _aggregate_metric(
    runs: Sequence[Mapping[str, ArmValues]],
    arm: str,
    metric: str,
    baselines: Sequence[str],
    pool: Callable[[Sequence[Mapping[str, float]], bool], Metric],
) -> SeedAggregate:
    values_by_seed = [run[arm].values[metric] for run in runs]
    differences = {
        baseline: pool(
            [
                _subtract_by_key(values, run[baseline].values[metric])
                for values, run in zip(values_by_seed, runs, strict=True)
            ],
            True,
        )
        for baseline in baselines
    }
    std = stats.summarize_seeds(_seed_means(values_by_seed)).std
    return SeedAggregate(arm=arm, metric=metric, mean=pool(values_by_seed, False), std=std, differences=differences)


def _seed_means(values_by_seed: Sequence[Mapping[str, float]]) -> list[float]:
    return [sum(values.values()) / len(values) for values in values_by_seed if values]


def _subtract_by_key(values: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    return {key: value - baseline[key] for key, value in values.items() if key in baseline}
