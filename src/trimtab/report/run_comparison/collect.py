"""Several studies side by side: the figures that they have in common, and paired differences where test rows are the same."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trimtab import stats
from trimtab.errors import DataError, StudyError
from trimtab.report.collect.report import ArmValues, build_report, load_arm_values
from trimtab.report.collect.rewards import GOLD_REWARD, PROXY_REWARD, display_metric_name
from trimtab.report.collect.trained_rewards import relabel_trained_rewards
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report, sort_arm_names
from trimtab.report.run_comparison.figures import collect_arm_metrics, parse_judge_name
from trimtab.report.run_comparison.seeds import (
    SEPARATE_SPLITS_NOTE,
    SHARED_SPLIT_NOTE,
    SeedAggregate,
    aggregate_over_seeds,
    differ_only_in_seed,
    have_same_test_pairs,
)
from trimtab.report.run_reader import Run
from trimtab.types import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One study: what it is called here, its folder and its report."""

    name: str
    folder: Path
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One arm by one metric: its figure by study, and paired differences to the first study by the others' names."""

    arm: str
    metric: str
    metrics_by_run: Mapping[str, Metric]
    differences: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """The studies, what at least two of them have a figure of, and what a reader must know of it. `seeds` are the figures over
    all of them where they are one study with several seeds, and `seeds_speak_of` says what their intervals speak of."""

    runs: tuple[ComparedRun, ...]
    metric_rows: tuple[MetricRow, ...]
    notes: tuple[str, ...]
    seed_aggregates: tuple[SeedAggregate, ...] = ()
    seed_note: str = ""

    @property
    def metric_names(self) -> list[str]:
        return list(dict.fromkeys(entry.metric for entry in self.metric_rows))

    def rows_for_metric(self, metric: str) -> list[MetricRow]:
        """The metric's entries, in the order of every table."""
        by_arm = {entry.arm: entry for entry in self.metric_rows if entry.metric == metric}
        return [by_arm[arm] for arm in sort_arm_names(by_arm)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadedRun:
    """A study with what its figures are averaged from, under the names of its tables."""

    compared: ComparedRun
    run: Run
    rows: Mapping[str, ArmValues]


def compare_runs(folders: Sequence[Path]) -> RunComparison:
    """The studies in these folders, the first of which is what the others are compared with.

    Raises `StudyError` for fewer than two, `StoreError` where a folder holds no run, and `DataError` where no arm of one
    study has a figure that an arm of that name has in another.
    """
    if len({folder.resolve() for folder in folders}) < 2:
        raise StudyError("compare: name the folders of at least two runs")
    read = [_load_run(name, folder) for name, folder in zip(_distinct_names(folders), folders, strict=True)]
    entries = _metric_rows(read)
    if not entries:
        raise DataError(
            f"the studies have nothing in common: {'; '.join(_describe_metrics(each.compared) for each in read)}"
        )
    shared = have_same_test_pairs([each.run.test for each in read])
    seeds = _aggregate_seeds(read, shared)
    return RunComparison(
        runs=tuple(each.compared for each in read),
        metric_rows=tuple(entries),
        notes=tuple(_notes(read, {parse_judge_name(each.metric) for each in entries})),
        seed_aggregates=tuple(seeds),
        seed_note=(SHARED_SPLIT_NOTE if shared else SEPARATE_SPLITS_NOTE) if seeds else "",
    )


def _aggregate_seeds(read: Sequence[_LoadedRun], shared: bool) -> list[SeedAggregate]:
    if not differ_only_in_seed([each.run.study for each in read]):
        return []
    first = read[0].run
    asked = {name: arm.compare_with for name, arm in first.study.arms.items()}
    return aggregate_over_seeds([each.rows for each in read], first.prompt_ids, asked, shared_test_pairs=shared)


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or as much of their paths as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    depth = next(
        depth
        for depth in range(1, 1 + max(map(len, parts)))
        if len({each[-depth:] for each in parts}) == len(set(parts))
    )
    return ["/".join(each[-depth:]) for each in parts]


def _load_run(name: str, folder: Path) -> _LoadedRun:
    run = Run(folder)
    report = relabel_trained_rewards(build_report(run))
    rows = {
        arm: replace(
            each, values={display_metric_name(metric, report.rewards): found for metric, found in each.values.items()}
        )
        for arm, each in load_arm_values(run).items()
    }
    return _LoadedRun(compared=ComparedRun(name=name, folder=folder, report=report), run=run, rows=rows)


def _metric_rows(read: Sequence[_LoadedRun]) -> list[MetricRow]:
    found: dict[tuple[str, str], dict[str, Metric]] = {}
    other_judges = {name for name, same in _shared_judges(read).items() if not same}
    for each in read:
        for key, figure in collect_arm_metrics(each.compared.report).items():
            if parse_judge_name(key[1]) not in other_judges:
                found.setdefault(key, {})[each.compared.name] = figure
    return [
        MetricRow(arm=arm, metric=metric, metrics_by_run=figures, differences=_paired_differences(read, arm, metric))
        for (arm, metric), figures in found.items()
        if len(figures) > 1
    ]


def _paired_differences(read: Sequence[_LoadedRun], arm: str, metric: str) -> dict[str, Metric]:
    first, *others = read
    theirs = _values(first, arm, metric)
    clusters = first.run.prompt_ids
    found = {}
    for each in others:
        ours = _values(each, arm, metric)
        common = ours.keys() & theirs.keys()
        if common and _same_scorer(first.run, each.run, arm, metric):
            found[each.compared.name] = stats.paired_difference(
                ours, theirs, clusters={key: clusters.get(key, key) for key in common}
            )
    return found


def _values(each: _LoadedRun, arm: str, metric: str) -> Mapping[str, float]:
    return each.rows[arm].values.get(metric, {}) if arm in each.rows else {}


def _same_scorer(one: Run, other: Run, arm: str, metric: str) -> bool:
    """Rewards of different scorers have no difference."""
    return not _is_reward(metric) or _scorer_identity(one, arm, metric) == _scorer_identity(other, arm, metric)


def _is_reward(metric: str) -> bool:
    return metric.partition(".")[0] in (GOLD_REWARD, PROXY_REWARD)


def _scorer_identity(run: Run, arm: str, metric: str) -> object:
    """What gave an arm's reward, settings and weights: the scorer that the metric names, or the only one."""
    scores: Mapping[str, str] = next(each.scores for each in run.arms if each.name == arm)
    name = metric.partition(".")[2] or next(iter(scores))
    return _stage_identity(run, scores[name], "completions")


def _stage_identity(run: Run, stage: str, *answers: str) -> tuple[object, object]:
    """A stage's settings and what it read, but for the `answers` that it read on."""
    record = run.artifact(stage).record
    return record["settings"], {key: value for key, value in record["inputs"].items() if key not in answers}


def _shared_judges(read: Sequence[_LoadedRun]) -> dict[str, bool]:
    """The judges that two studies or more have by name, and whether all of these are the same and compared answers with those
    of the same row."""
    makers: dict[str, list[object]] = {}
    for each in read:
        for name, maker in _judge_identities(each).items():
            makers.setdefault(name, []).append(maker)
    return {name: all(each == found[0] for each in found) for name, found in makers.items() if len(found) > 1}


def _judge_identities(read: _LoadedRun) -> dict[str, object]:
    """What gave each judge's verdicts, and against which row."""
    stages = {
        name: stage
        for arm in read.run.arms
        for name, stage in arm.verdicts.items()
        if stage and read.run.is_finished(stage)
    }
    against = {judge.name: judge.baseline for judge in read.compared.report.judges}
    return {
        name: (against.get(name), _stage_identity(read.run, stage, "candidate", "baseline")) for name, stage in stages.items()
    }


def _notes(read: Sequence[_LoadedRun], judges: Container[str]) -> list[str]:
    """What a reader must know of the studies, and of the `judges` whose figures are shown."""
    first, *others = read
    return [
        *(_test_overlap_note(first, each) for each in others),
        *(note for place, each in enumerate(read) for note in _scorer_notes(read[:place], each)),
        *_judge_notes(read, judges),
        *(
            f"{each.compared.name}: {each.compared.report.notes[0]}"
            for each in read
            if each.compared.report.missing_stages
        ),
    ]


def _scorer_notes(before: Sequence[_LoadedRun], each: _LoadedRun) -> list[str]:
    """Which rewards are by another scorer than in the first of the studies before that has them."""
    found = set()
    for arm, rows in each.rows.items():
        for metric in filter(_is_reward, rows.values):
            other = next((one for one in before if metric in _arm_metric_names(one, arm)), None)
            if other is not None and not _same_scorer(other.run, each.run, arm, metric):
                found.add((metric, other.compared.name))
    return [
        f"{get_metric_info(metric).label} of {each.compared.name} and of {other} is by different scorers: the figures stand side by "
        "side and have no difference."
        for metric, other in sorted(found)
    ]


def _judge_notes(read: Sequence[_LoadedRun], shown: Container[str]) -> list[str]:
    """What the judges that are shown compare answers with, and which judges are left out."""
    against = {judge.name: judge.baseline for each in read for judge in each.compared.report.judges}
    return [
        f"Judge {name} compares answers with those of {against[name]}: at a win rate of 0.5 both are as good."
        if same
        else f"Judge {name} is not the same in all studies, or compares with another row: its figures are left out."
        for name, same in _shared_judges(read).items()
        if name in shown or not same
    ]


def _arm_metric_names(each: _LoadedRun, arm: str) -> set[str]:
    return set(each.rows[arm].values) if arm in each.rows else set()


def _test_overlap_note(first: _LoadedRun, other: _LoadedRun) -> str:
    """Whether two studies were tested on the same pairs."""
    ours, theirs = ({pair.id for pair in each.run.test} for each in (other, first))
    common = len(ours & theirs)
    names = f"{other.compared.name} and {first.compared.name}"
    if ours == theirs:
        return f"{names} have the same {common:,} test pairs."
    if not common:
        return (
            f"{names} have no test pair in common ({len(ours):,} and {len(theirs):,}): their figures stand side by side, but "
            "what differs may be the pairs."
        )
    return (
        f"{names} share {common:,} test pairs, of {len(ours):,} and {len(theirs):,}: differences are taken over what both "
        "have, and figures are of all that each has."
    )


def _describe_metrics(side: ComparedRun) -> str:
    arms = ", ".join(arm.name for arm in side.report.arms) or "none"
    metrics = ", ".join(dict.fromkeys(name for _, name in collect_arm_metrics(side.report))) or "none"
    return f"{side.name} has the arms {arms} with the figures {metrics}"
