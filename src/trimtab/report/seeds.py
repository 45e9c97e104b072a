"""One study run with several seeds: each arm's figure over all of them, and how far seeds are apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trimtab import statistics
from trimtab.report.collect import Rows
from trimtab.study import Study
from trimtab.types import Metric, Pair

# The rows that a lead is told over, as far as a study has them, besides those that it asks for.
AGAINST = ("sft", "human", "weak", "flipped")


SHARED_ROWS = (
    "These are one study with several seeds on the same test pairs. Intervals of means and leads speak of other seeds and "
    "other test pairs at once; leads are paired within a seed."
)
OWN_ROWS = (
    "These are one study with several seeds, each of which drew a split of its own, so that its figures are over other test "
    "pairs. Intervals are over the seeds' means, n counts seeds, and the spread is between seeds and splits; leads are paired "
    "within a seed. With `split.seed` set, seeds share their pairs and tell more."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverSeeds:
    """One arm by one metric. `mean` has an interval for other seeds and other rows at once, `spread` is the standard deviation
    between seeds, and `leads` are paired within a seed, by the row that is less. In `spread`, and in all where each seed has
    test pairs of its own, `n` counts seeds."""

    arm: str
    metric: str
    mean: Metric
    spread: Metric
    leads: Mapping[str, Metric]


def same_but_for_seeds(studies: Sequence[Study]) -> bool:
    """Whether these are one study with as many seeds."""
    alike = {study.model_copy(update={"seed": 0}).to_yaml() for study in studies}
    return len(alike) == 1 and len({study.seed for study in studies}) == len(studies) > 1


def same_tests(tests: Sequence[Sequence[Pair]]) -> bool:
    """Whether all were tested on the same pairs."""
    first, *others = ({pair.id for pair in test} for test in tests)
    return all(each == first for each in others)


def over_seeds(
    runs: Sequence[Mapping[str, Rows]],
    clusters: Mapping[str, Hashable],
    asked: Mapping[str, Sequence[str]] | None = None,
    *,
    shared: bool,
) -> list[OverSeeds]:
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
        if not shared:
            return statistics.across_seeds(_means(values)).mean
        prompts = {key: clusters.get(key, key) for run in values for key in run}
        return statistics.across_seeds_and_rows(values, clusters=prompts, differences=differences)

    def against(arm: str, metric: str) -> list[str]:
        wanted = dict.fromkeys((*AGAINST, *(asked or {}).get(arm, ())))
        return [each for each in wanted if each != arm and (each, metric) in common]

    return [_figure(runs, arm, metric, against(arm, metric), pooled) for arm, metric in common]


def rows_led(entries: Iterable[OverSeeds]) -> list[str]:
    """The rows that any of these leads is over, those of `AGAINST` first."""
    found = dict.fromkeys(other for each in entries for other in each.leads)
    return [*(each for each in AGAINST if each in found), *(each for each in found if each not in AGAINST)]


def _figure(
    runs: Sequence[Mapping[str, Rows]],
    arm: str,
    metric: str,
    against: Sequence[str],
    pooled: Callable[[Sequence[Mapping[str, float]], bool], Metric],
) -> OverSeeds:
    ours = [run[arm].values[metric] for run in runs]
    leads = {
        other: pooled([_less(values, run[other].values[metric]) for values, run in zip(ours, runs, strict=True)], True)
        for other in against
    }
    spread = statistics.across_seeds(_means(ours)).spread
    return OverSeeds(arm=arm, metric=metric, mean=pooled(ours, False), spread=spread, leads=leads)


def _means(runs: Sequence[Mapping[str, float]]) -> list[float]:
    return [sum(each.values()) / len(each) for each in runs if each]


def _less(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    return {key: value - theirs[key] for key, value in ours.items() if key in theirs}
