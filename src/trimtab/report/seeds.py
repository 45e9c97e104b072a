"""One study run with several seeds: each arm's figure over all of them, and how far seeds are apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from trimtab import statistics
from trimtab.report.collect import Rows
from trimtab.study import Study
from trimtab.types import Metric

# The rows that a lead is told over, as far as a study has them.
AGAINST = ("sft", "human", "weak", "flipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class OverSeeds:
    """One arm by one metric. `mean` has an interval for other seeds and other rows at once, `spread` is the standard deviation
    between seeds, and `leads` are paired within a seed, by the row that is less."""

    arm: str
    metric: str
    mean: Metric
    spread: Metric
    leads: Mapping[str, Metric]


def same_but_for_seeds(studies: Sequence[Study]) -> bool:
    """Whether these are one study with as many seeds."""
    alike = {study.model_copy(update={"seed": 0}).to_yaml() for study in studies}
    return len(alike) == 1 and len({study.seed for study in studies}) == len(studies) > 1


def over_seeds(runs: Sequence[Mapping[str, Rows]], clusters: Mapping[str, Hashable]) -> list[OverSeeds]:
    """Every figure that every run has, by arm. `clusters` gives the prompt of a test pair; other rows are their own."""
    shared = [
        (arm, metric)
        for arm, rows in runs[0].items()
        for metric in rows.values
        if all(arm in run and metric in run[arm].values for run in runs)
    ]
    found = dict.fromkeys(shared)
    return [
        _figure(runs, arm, metric, [each for each in AGAINST if each != arm and (each, metric) in found], clusters)
        for arm, metric in shared
    ]


def _figure(
    runs: Sequence[Mapping[str, Rows]], arm: str, metric: str, against: Sequence[str], clusters: Mapping[str, Hashable]
) -> OverSeeds:
    ours = [run[arm].values[metric] for run in runs]
    means = [sum(each.values()) / len(each) for each in ours if each]
    leads = {
        other: _pooled(
            [_less(values, run[other].values[metric]) for values, run in zip(ours, runs, strict=True)], clusters
        )
        for other in against
    }
    spread = statistics.across_seeds(means).spread
    return OverSeeds(arm=arm, metric=metric, mean=_pooled(ours, clusters), spread=spread, leads=leads)


def _less(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    return {key: value - theirs[key] for key, value in ours.items() if key in theirs}


def _pooled(runs: Sequence[Mapping[str, float]], clusters: Mapping[str, Hashable]) -> Metric:
    keys = {key for run in runs for key in run}
    return statistics.across_seeds_and_rows(runs, clusters={key: clusters.get(key, key) for key in keys})
