"""One study run with several seeds, or several split seeds: each arm's metrics aggregated over them, and their spread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trimtab import stats
from trimtab.config.study import Study
from trimtab.core.component import Component
from trimtab.report.collect.arm_values import ArmValues
from trimtab.types import Metric, Pair

# Differences are computed to these rows if the study has them, and to the rows that the study requests.
DEFAULT_BASELINES = ("sft", "human", "weak", "flipped")

# What differs between runs that are pooled: `seed`, which also sets the split unless `split.seed` is set, or `split.seed`.
VariedSeed = Literal["seed", "split seed"]
# By what differs, and by whether the runs have the same test pairs.
_NOTES: Mapping[tuple[VariedSeed, bool], str] = {
    ("seed", True): (
        "The runs are one study with several seeds and the same test pairs. Intervals of means and differences cover "
        "variation over seeds and test pairs; differences are paired within a seed."
    ),
    ("seed", False): (
        "The runs are one study with several seeds, and each seed has its own split and test pairs. Intervals are over the "
        "means of seeds, n counts seeds, and the SD covers both seeds and splits; differences are paired within a seed. Set "
        "`split.seed` so that seeds share their pairs: the comparison is then more precise."
    ),
    ("split seed", True): (
        "The runs are one study with several split seeds and the same test pairs. Intervals of means and differences cover "
        "variation over splits and test pairs, but not over training seeds; differences are paired within a split."
    ),
    ("split seed", False): (
        "The runs are one study with several split seeds, and each split has its own test pairs. Intervals are over the means "
        "of splits, n counts splits, and the SD covers splits, but not training seeds; differences are paired within a split."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedAggregate:
    """A metric of one arm over several seeds.

    `mean` has an interval over seeds and rows, `std` and `variance` are those between seeds, and `differences` to baseline
    rows are paired within a seed. `n` counts seeds in `std`, and everywhere if each seed has its own test pairs.
    """

    arm: str
    metric: str
    mean: Metric
    std: Metric
    variance: Metric
    differences: Mapping[str, Metric]


def find_varied_seed(studies: Sequence[Study]) -> VariedSeed | None:
    """The seed that differs between all of these studies, if nothing else does; None if they are not to be pooled.

    A filter's seed may differ as well, if it is the study's. If both seeds differ between all studies, that is `seed`. A grid
    of seeds and split seeds is not pooled: its runs are not independent.
    """
    settings = {_without_seeds(study) for study in studies}
    n_seeds, n_splits = (len(set(seeds)) for seeds in zip(*((s.seed, s.split.seed) for s in studies), strict=True))
    if len(settings) > 1 or {n_seeds, n_splits} - {1, len(studies)}:
        return None
    if n_seeds > 1:
        return "seed"
    return "split seed" if n_splits > 1 else None


def _without_seeds(study: Study) -> str:
    """The settings without the seeds, and without those of filters that are set to the study's, such as of random subsets.

    Names and descriptions do not count: variants of a study have names of their own.
    """
    split = study.split.model_copy(update={"seed": None})
    arms = {
        name: arm.model_copy(update={"filter": _without_seed(arm.filter, study.seed)})
        for name, arm in study.arms.items()
    }
    changes = {"name": "", "description": "", "seed": 0, "split": split, "arms": arms}
    return study.model_copy(update=changes).to_yaml()


def _without_seed(component: Component | None, study_seed: int) -> Component | None:
    if component is None or getattr(component, "seed", None) != study_seed:
        return component
    return component.model_copy(update={"seed": 0})


def describe_pooling(varied: VariedSeed, *, shared_test_pairs: bool) -> str:
    """What the runs are and what their intervals cover."""
    return _NOTES[varied, shared_test_pairs]


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
    summary = stats.summarize_seeds(_seed_means(values_by_seed))
    return SeedAggregate(
        arm=arm,
        metric=metric,
        mean=pool(values_by_seed, False),
        std=summary.std,
        variance=summary.variance,
        differences=differences,
    )


def _seed_means(values_by_seed: Sequence[Mapping[str, float]]) -> list[float]:
    return [sum(values.values()) / len(values) for values in values_by_seed if values]


def _subtract_by_key(values: Mapping[str, float], baseline: Mapping[str, float]) -> dict[str, float]:
    return {key: value - baseline[key] for key, value in values.items() if key in baseline}
