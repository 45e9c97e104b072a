"""One study run with several seeds: each arm's figure over all of them, and how far seeds are apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab import stats
from trimtab.config.study import Study
from trimtab.report.collect.report import ArmValues
from trimtab.types import Metric, Pair

# The rows that a lead is told over, as far as a study has them, besides those that it asks for.
DEFAULT_BASELINES = ("sft", "human", "weak", "flipped")


SHARED_SPLIT_NOTE = (
    "These are one study with several seeds on the same test pairs. Intervals of means and leads speak of other seeds and "
    "other test pairs at once; leads are paired within a seed."
)
SEPARATE_SPLITS_NOTE = (
    "These are one study with several seeds, each of which drew a split of its own, so that its figures are over other test "
    "pairs. Intervals are over the seeds' means, n counts seeds, and the spread is between seeds and splits; leads are paired "
    "within a seed. With `split.seed` set, seeds share their pairs and tell more."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedAggregate:
    """One arm by one metric. `mean` has an interval for other seeds and other rows at once, `spread` is the standard deviation
    between seeds, and `leads` are paired within a seed, by the row that is less. In `spread`, and in all where each seed has
    test pairs of its own, `n` counts seeds."""

    arm: str
    metric: str
    mean: Metric
    std: Metric
    differences: Mapping[str, Metric]


def differ_only_in_seed(studies: Sequence[Study]) -> bool:
    """Whether these are one study with as many seeds."""
    alike = {study.model_copy(update={"seed": 0}).to_yaml() for study in studies}
    return len(alike) == 1 and len({study.seed for study in studies}) == len(studies) > 1


def have_same_test_pairs(tests: Sequence[Sequence[Pair]]) -> bool:
    """Whether all were tested on the same pairs."""
    first, *others = ({pair.id for pair in test} for test in tests)
    return all(each == first for each in others)


def aggregate_over_seeds(
    runs: Sequence[Mapping[str, ArmValues]],
    clusters: Mapping[str, Hashable],
    compare_with: Mapping[str, Sequence[str]] | None = None,
    *,
    shared_test_pairs: bool,
) -> list[SeedAggregate]:
    """Every figure that every run has, by arm. `clusters` gives the prompt of a test pair; other rows are their own. Leads are
    over the rows of `AGAINST`, then over those that the study has an arm compared with: `asked`, by arm. Seeds that were not
    tested on `shared` pairs are told by their means alone, each of which is over rows of its own."""
    common = [
        (arm, metric)
        for arm, rows in runs[0].items()
        for metric in rows.values
        if all(arm in run and metric in run[arm].values for run in runs)
    ]

    def pooled(values: Sequence[Mapping[str, float]], differences: bool) -> Metric:
        if not shared_test_pairs:
            return stats.summarize_seeds(_seed_means(values)).mean
        prompts = {key: clusters.get(key, key) for run in values for key in run}
        return stats.mean_over_seeds_and_rows(values, clusters=prompts, differences=differences)

    def against(arm: str, metric: str) -> list[str]:
        wanted = dict.fromkeys((*DEFAULT_BASELINES, *(compare_with or {}).get(arm, ())))
        return [each for each in wanted if each != arm and (each, metric) in common]

    return [_aggregate_metric(runs, arm, metric, against(arm, metric), pooled) for arm, metric in common]


def list_baselines(entries: Iterable[SeedAggregate]) -> list[str]:
    """The rows that any of these leads is over, those of `AGAINST` first."""
    found = dict.fromkeys(other for each in entries for other in each.differences)
    return [
        *(each for each in DEFAULT_BASELINES if each in found),
        *(each for each in found if each not in DEFAULT_BASELINES),
    ]


def _aggregate_metric(
    runs: Sequence[Mapping[str, ArmValues]],
    arm: str,
    metric: str,
    against: Sequence[str],
    pooled: Callable[[Sequence[Mapping[str, float]], bool], Metric],
) -> SeedAggregate:
    ours = [run[arm].values[metric] for run in runs]
    leads = {
        other: pooled(
            [_subtract_by_key(values, run[other].values[metric]) for values, run in zip(ours, runs, strict=True)], True
        )
        for other in against
    }
    spread = stats.summarize_seeds(_seed_means(ours)).std
    return SeedAggregate(arm=arm, metric=metric, mean=pooled(ours, False), std=spread, differences=leads)


def _seed_means(runs: Sequence[Mapping[str, float]]) -> list[float]:
    return [sum(each.values()) / len(each) for each in runs if each]


def _subtract_by_key(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    return {key: value - theirs[key] for key, value in ours.items() if key in theirs}
