"""Compares runs: the metrics they share, with paired differences on shared test pairs."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trimtab import stats
from trimtab.errors import DataError, StudyError
from trimtab.report.collect.arm_values import ArmValues, load_arm_values
from trimtab.report.collect.label_worth import LabelWorthInfo, collect_label_worths
from trimtab.report.collect.report import build_report
from trimtab.report.collect.rewards import GOLD_REWARD, PROXY_REWARD, display_metric_name
from trimtab.report.collect.trained_rewards import relabel_trained_rewards
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import Report, sort_arm_names
from trimtab.report.run_comparison.figures import collect_arm_metrics, parse_judge_name
from trimtab.report.run_comparison.seeds import (
    SeedAggregate,
    aggregate_over_seeds,
    describe_pooling,
    find_varied_seed,
    have_same_test_pairs,
)
from trimtab.report.run_reader import Run
from trimtab.types import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """A run with its display name, folder and report."""

    name: str
    folder: Path
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric of one arm, by run, with each other run's paired difference to the first run."""

    arm: str
    metric: str
    metrics_by_run: Mapping[str, Metric]
    differences: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """The runs, the metrics that at least two of them share, and notes for the reader.

    If the runs are one study with several seeds or split seeds, `seed_aggregates` has the metrics over all of them, and
    `seed_note` says what their intervals cover. `shared_test_pairs`: whether all runs have the same test pairs; `label_worths`
    has the worth of labels over such seeds.
    """

    runs: tuple[ComparedRun, ...]
    metric_rows: tuple[MetricRow, ...]
    notes: tuple[str, ...]
    seed_aggregates: tuple[SeedAggregate, ...] = ()
    seed_note: str = ""
    shared_test_pairs: bool = True
    label_worths: tuple[LabelWorthInfo, ...] = ()

    @property
    def metric_names(self) -> list[str]:
        return list(dict.fromkeys(row.metric for row in self.metric_rows))

    @property
    def seed_metric_names(self) -> list[str]:
        return list(dict.fromkeys(aggregate.metric for aggregate in self.seed_aggregates))

    def rows_for_metric(self, metric: str) -> list[MetricRow]:
        """The rows of a metric, in table order."""
        by_arm = {row.arm: row for row in self.metric_rows if row.metric == metric}
        return [by_arm[arm] for arm in sort_arm_names(by_arm)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoadedRun:
    """A run with the values behind its metrics, under their display names."""

    compared: ComparedRun
    run: Run
    values_by_arm: Mapping[str, ArmValues]

    def values(self, arm: str, metric: str) -> Mapping[str, float]:
        return self.values_by_arm[arm].values.get(metric, {}) if arm in self.values_by_arm else {}


def compare_runs(folders: Sequence[Path]) -> RunComparison:
    """Compares the runs in these folders; differences are to the first.

    Raises `StudyError` for fewer than two folders, `StoreError` if a folder holds no run, and `DataError` if no arm has a
    metric in more than one run.
    """
    if len({folder.resolve() for folder in folders}) < 2:
        raise StudyError("compare: expected the folders of at least two runs")
    loaded = [_load_run(name, folder) for name, folder in zip(_distinct_names(folders), folders, strict=True)]
    metric_rows = _metric_rows(loaded)
    if not metric_rows:
        raise DataError(
            f"the runs have no metric in common: {'; '.join(_describe_metrics(run.compared) for run in loaded)}"
        )
    has_shared_pairs = have_same_test_pairs([run.run.test for run in loaded])
    varied = find_varied_seed([run.run.study for run in loaded])
    return RunComparison(
        runs=tuple(run.compared for run in loaded),
        metric_rows=tuple(metric_rows),
        notes=tuple(_notes(loaded, {parse_judge_name(row.metric) for row in metric_rows})),
        seed_aggregates=tuple(_aggregate_seeds(loaded, has_shared_pairs)) if varied else (),
        seed_note=describe_pooling(varied, shared_test_pairs=has_shared_pairs) if varied else "",
        shared_test_pairs=has_shared_pairs,
        label_worths=_collect_label_worths(loaded) if varied and has_shared_pairs else (),
    )


def _collect_label_worths(loaded: Sequence[_LoadedRun]) -> tuple[LabelWorthInfo, ...]:
    return collect_label_worths([run.run for run in loaded], [run.values_by_arm for run in loaded])


def _aggregate_seeds(loaded: Sequence[_LoadedRun], has_shared_pairs: bool) -> list[SeedAggregate]:
    report = loaded[0].compared.report
    compare_with = {arm.name: (report.get_baseline(arm.name), *arm.compare_with) for arm in report.arms}
    values = [run.values_by_arm for run in loaded]
    return aggregate_over_seeds(values, loaded[0].run.prompt_ids, compare_with, shared_test_pairs=has_shared_pairs)


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    """The folder names, with as many parent folders as needed to make them distinct."""
    paths = [folder.resolve().parts for folder in folders]
    depth = next(
        depth
        for depth in range(1, 1 + max(map(len, paths)))
        if len({path[-depth:] for path in paths}) == len(set(paths))
    )
    return ["/".join(path[-depth:]) for path in paths]


def _load_run(name: str, folder: Path) -> _LoadedRun:
    run = Run(folder)
    report = relabel_trained_rewards(build_report(run))
    values_by_arm = {
        arm: replace(
            arm_values,
            values={display_metric_name(name, report.rewards): values for name, values in arm_values.values.items()},
        )
        for arm, arm_values in load_arm_values(run).items()
    }
    return _LoadedRun(
        compared=ComparedRun(name=name, folder=folder, report=report), run=run, values_by_arm=values_by_arm
    )


def _metric_rows(loaded: Sequence[_LoadedRun]) -> list[MetricRow]:
    different_judges = {name for name, is_same in _shared_judges(loaded).items() if not is_same}
    metrics: dict[tuple[str, str], dict[str, Metric]] = {}
    for run in loaded:
        for (arm, name), metric in collect_arm_metrics(run.compared.report).items():
            if parse_judge_name(name) not in different_judges:
                metrics.setdefault((arm, name), {})[run.compared.name] = metric
    return [
        MetricRow(arm=arm, metric=name, metrics_by_run=by_run, differences=_paired_differences(loaded, arm, name))
        for (arm, name), by_run in metrics.items()
        if len(by_run) > 1
    ]


def _paired_differences(loaded: Sequence[_LoadedRun], arm: str, metric: str) -> dict[str, Metric]:
    first, *others = loaded
    baseline = first.values(arm, metric)
    prompt_ids = first.run.prompt_ids
    differences = {}
    for other in others:
        values = other.values(arm, metric)
        shared = values.keys() & baseline.keys()
        if shared and _has_same_scorer(first.run, other.run, arm, metric):
            clusters = {key: prompt_ids.get(key, key) for key in shared}
            differences[other.compared.name] = stats.paired_difference(values, baseline, clusters=clusters)
    return differences


def _has_same_scorer(a: Run, b: Run, arm: str, metric: str) -> bool:
    """Rewards from different scorers cannot be subtracted; other metrics always can."""
    return not _is_reward(metric) or _scorer_identity(a, arm, metric) == _scorer_identity(b, arm, metric)


def _is_reward(metric: str) -> bool:
    return metric.partition(".")[0] in (GOLD_REWARD, PROXY_REWARD)


def _scorer_identity(run: Run, arm: str, metric: str) -> object:
    """The settings and weights of the scorer that the metric names, or of the only scorer."""
    scores = next(row.scores for row in run.arms if row.name == arm)
    name = metric.partition(".")[2] or next(iter(scores))
    return _stage_identity(run, scores[name], "completions")


def _stage_identity(run: Run, stage: str, *excluded_inputs: str) -> tuple[object, object]:
    """A stage's settings and inputs, without the responses that it read."""
    record = run.artifact(stage).record
    return record["settings"], {key: value for key, value in record["inputs"].items() if key not in excluded_inputs}


def _shared_judges(loaded: Sequence[_LoadedRun]) -> dict[str, bool]:
    """The judge names that at least two runs have, and whether settings, weights and baseline are the same in all of them."""
    identities: dict[str, list[object]] = {}
    for run in loaded:
        for name, identity in _judge_identities(run).items():
            identities.setdefault(name, []).append(identity)
    return {
        name: all(identity == found[0] for identity in found) for name, found in identities.items() if len(found) > 1
    }


def _judge_identities(loaded: _LoadedRun) -> dict[str, object]:
    """The baseline, settings and weights of each judge."""
    run = loaded.run
    stages = {
        name: stage for row in run.arms for name, stage in row.verdicts.items() if stage and run.is_finished(stage)
    }
    baselines = {judge.name: judge.baseline for judge in loaded.compared.report.judges}
    return {
        name: (baselines.get(name), _stage_identity(run, stage, "candidate", "baseline"))
        for name, stage in stages.items()
    }


def _notes(loaded: Sequence[_LoadedRun], judges: Container[str]) -> list[str]:
    """Notes on test pairs, scorers, the shown `judges`, and unfinished runs."""
    first, *others = loaded
    return [
        *(_test_overlap_note(first, other) for other in others),
        *(note for index, run in enumerate(loaded) for note in _scorer_notes(loaded[:index], run)),
        *_judge_notes(loaded, judges),
        *(
            f"{run.compared.name}: {run.compared.report.notes[0]}"
            for run in loaded
            if run.compared.report.missing_stages
        ),
    ]


def _scorer_notes(earlier: Sequence[_LoadedRun], run: _LoadedRun) -> list[str]:
    """The rewards with another scorer than in the first earlier run that has them."""
    different = set()
    for arm, arm_values in run.values_by_arm.items():
        for metric in filter(_is_reward, arm_values.values):
            other = next((other for other in earlier if metric in _arm_metric_names(other, arm)), None)
            if other is not None and not _has_same_scorer(other.run, run.run, arm, metric):
                different.add((metric, other.compared.name))
    return [
        f"{get_metric_info(metric).label} of {run.compared.name} and of {other} comes from different scorers: the values are "
        "listed without a difference."
        for metric, other in sorted(different)
    ]


def _judge_notes(loaded: Sequence[_LoadedRun], shown: Container[str]) -> list[str]:
    """The baseline of each shown judge, and the judges that are left out."""
    baselines = {judge.name: judge.baseline for run in loaded for judge in run.compared.report.judges}
    return [
        f"Judge {name} compares responses with those of {baselines[name]}; a win rate of 0.5 means equally good."
        if is_same
        else f"Judge {name} or its baseline differs between runs: its metrics are left out."
        for name, is_same in _shared_judges(loaded).items()
        if name in shown or not is_same
    ]


def _arm_metric_names(run: _LoadedRun, arm: str) -> set[str]:
    return set(run.values_by_arm[arm].values) if arm in run.values_by_arm else set()


def _test_overlap_note(first: _LoadedRun, other: _LoadedRun) -> str:
    """Whether two runs share their test pairs."""
    other_ids, first_ids = ({pair.id for pair in run.run.test} for run in (other, first))
    num_shared = len(other_ids & first_ids)
    names = f"{other.compared.name} and {first.compared.name}"
    if other_ids == first_ids:
        return f"{names} have the same {num_shared:,} test pairs."
    if not num_shared:
        return (
            f"{names} have no test pair in common ({len(other_ids):,} and {len(first_ids):,}): different metrics may be due "
            "to different pairs."
        )
    return (
        f"{names} share {num_shared:,} test pairs, of {len(other_ids):,} and {len(first_ids):,}: differences are over the "
        "shared pairs, all other metrics over each run's own pairs."
    )


def _describe_metrics(run: ComparedRun) -> str:
    arms = ", ".join(arm.name for arm in run.report.arms) or "none"
    metrics = ", ".join(dict.fromkeys(name for _, name in collect_arm_metrics(run.report))) or "none"
    return f"{run.name} has the arms {arms} with the metrics {metrics}"
