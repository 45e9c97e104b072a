"""Several studies side by side: the figures that they have in common, and paired differences where test rows are the same."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trimtab import statistics
from trimtab.errors import DataError, StudyError
from trimtab.report.beside_figures import figures_of, judge_of
from trimtab.report.collect import Rows, collected, rows_by_arm
from trimtab.report.folder import Run
from trimtab.report.metrics import metric_info
from trimtab.report.model import Report, arm_order
from trimtab.report.proxies import with_proxies
from trimtab.report.rewards import GOLD, PROXY, shown_as
from trimtab.report.seeds import OWN_ROWS, SHARED_ROWS, OverSeeds, over_seeds, same_but_for_seeds, same_tests
from trimtab.types import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One study: what it is called here, its folder and its report."""

    name: str
    folder: Path
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One arm by one metric: its figure by study, and paired differences to the first study by the others' names."""

    arm: str
    metric: str
    figures: Mapping[str, Metric]
    differences: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The studies, what at least two of them have a figure of, and what a reader must know of it. `seeds` are the figures over
    all of them where they are one study with several seeds, and `seeds_speak_of` says what their intervals speak of."""

    sides: tuple[Side, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    seeds: tuple[OverSeeds, ...] = ()
    seeds_speak_of: str = ""

    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(entry.metric for entry in self.entries))

    def of(self, metric: str) -> list[Entry]:
        """The metric's entries, in the order of every table."""
        by_arm = {entry.arm: entry for entry in self.entries if entry.metric == metric}
        return [by_arm[arm] for arm in arm_order(by_arm)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A study with what its figures are averaged from, under the names of its tables."""

    side: Side
    run: Run
    rows: Mapping[str, Rows]


def beside(folders: Sequence[Path]) -> Beside:
    """The studies in these folders, the first of which is what the others are compared with.

    Raises `StudyError` for fewer than two, `StoreError` where a folder holds no run, and `DataError` where no arm of one
    study has a figure that an arm of that name has in another.
    """
    if len({folder.resolve() for folder in folders}) < 2:
        raise StudyError("compare: name the folders of at least two runs")
    read = [_read(name, folder) for name, folder in zip(_names(folders), folders, strict=True)]
    entries = _entries(read)
    if not entries:
        raise DataError(f"the studies have nothing in common: {'; '.join(_offers(each.side) for each in read)}")
    shared = same_tests([each.run.test for each in read])
    seeds = _seeds(read, shared)
    return Beside(
        sides=tuple(each.side for each in read),
        entries=tuple(entries),
        notes=tuple(_notes(read, {judge_of(each.metric) for each in entries})),
        seeds=tuple(seeds),
        seeds_speak_of=(SHARED_ROWS if shared else OWN_ROWS) if seeds else "",
    )


def _seeds(read: Sequence[_Read], shared: bool) -> list[OverSeeds]:
    if not same_but_for_seeds([each.run.study for each in read]):
        return []
    first = read[0].run
    asked = {name: arm.against for name, arm in first.study.arms.items()}
    return over_seeds([each.rows for each in read], first.prompts, asked, shared=shared)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or as much of their paths as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    depth = next(
        depth
        for depth in range(1, 1 + max(map(len, parts)))
        if len({each[-depth:] for each in parts}) == len(set(parts))
    )
    return ["/".join(each[-depth:]) for each in parts]


def _read(name: str, folder: Path) -> _Read:
    run = Run(folder)
    report = with_proxies(collected(run))
    rows = {
        arm: replace(each, values={shown_as(metric, report.rewards): found for metric, found in each.values.items()})
        for arm, each in rows_by_arm(run).items()
    }
    return _Read(side=Side(name=name, folder=folder, report=report), run=run, rows=rows)


def _entries(read: Sequence[_Read]) -> list[Entry]:
    found: dict[tuple[str, str], dict[str, Metric]] = {}
    other_judges = {name for name, same in _judges_in_common(read).items() if not same}
    for each in read:
        for key, figure in figures_of(each.side.report).items():
            if judge_of(key[1]) not in other_judges:
                found.setdefault(key, {})[each.side.name] = figure
    return [
        Entry(arm=arm, metric=metric, figures=figures, differences=_differences(read, arm, metric))
        for (arm, metric), figures in found.items()
        if len(figures) > 1
    ]


def _differences(read: Sequence[_Read], arm: str, metric: str) -> dict[str, Metric]:
    first, *others = read
    theirs = _values(first, arm, metric)
    clusters = first.run.prompts
    found = {}
    for each in others:
        ours = _values(each, arm, metric)
        common = ours.keys() & theirs.keys()
        if common and _same_scorer(first.run, each.run, arm, metric):
            found[each.side.name] = statistics.paired_difference(
                ours, theirs, clusters={key: clusters.get(key, key) for key in common}
            )
    return found


def _values(each: _Read, arm: str, metric: str) -> Mapping[str, float]:
    return each.rows[arm].values.get(metric, {}) if arm in each.rows else {}


def _same_scorer(one: Run, other: Run, arm: str, metric: str) -> bool:
    """Rewards of different scorers have no difference."""
    return not _is_reward(metric) or _scorer(one, arm, metric) == _scorer(other, arm, metric)


def _is_reward(metric: str) -> bool:
    return metric.partition(".")[0] in (GOLD, PROXY)


def _scorer(run: Run, arm: str, metric: str) -> object:
    """What gave an arm's reward, settings and weights: the scorer that the metric names, or the only one."""
    scores: Mapping[str, str] = next(each["scores"] for each in run.arms if each["name"] == arm)
    name = metric.partition(".")[2] or next(iter(scores))
    return _maker(run, scores[name], "completions")


def _maker(run: Run, stage: str, *answers: str) -> tuple[object, object]:
    """A stage's settings and what it read, but for the `answers` that it read on."""
    record = run.artifact(stage).record
    return record["settings"], {key: value for key, value in record["inputs"].items() if key not in answers}


def _judges_in_common(read: Sequence[_Read]) -> dict[str, bool]:
    """The judges that two studies or more have by name, and whether all of these are the same and compared answers with those
    of the same row."""
    makers: dict[str, list[object]] = {}
    for each in read:
        for name, maker in _judges(each).items():
            makers.setdefault(name, []).append(maker)
    return {name: all(each == found[0] for each in found) for name, found in makers.items() if len(found) > 1}


def _judges(read: _Read) -> dict[str, object]:
    """What gave each judge's verdicts, and against which row."""
    stages = {
        name: stage
        for arm in read.run.arms
        for name, stage in arm.get("verdicts", {}).items()
        if stage and read.run.finished(stage)
    }
    against = {judge.name: judge.against for judge in read.side.report.judges}
    return {name: (against.get(name), _maker(read.run, stage, "ours", "theirs")) for name, stage in stages.items()}


def _notes(read: Sequence[_Read], judges: Container[str]) -> list[str]:
    """What a reader must know of the studies, and of the `judges` whose figures are shown."""
    first, *others = read
    return [
        *(_of_tests(first, each) for each in others),
        *(note for place, each in enumerate(read) for note in _of_scorers(read[:place], each)),
        *_of_judges(read, judges),
        *(f"{each.side.name}: {each.side.report.notes[0]}" for each in read if each.side.report.missing),
    ]


def _of_scorers(before: Sequence[_Read], each: _Read) -> list[str]:
    """Which rewards are by another scorer than in the first of the studies before that has them."""
    found = set()
    for arm, rows in each.rows.items():
        for metric in filter(_is_reward, rows.values):
            other = next((one for one in before if metric in _metrics(one, arm)), None)
            if other is not None and not _same_scorer(other.run, each.run, arm, metric):
                found.add((metric, other.side.name))
    return [
        f"{metric_info(metric).label} of {each.side.name} and of {other} is by different scorers: the figures stand side by "
        "side and have no difference."
        for metric, other in sorted(found)
    ]


def _of_judges(read: Sequence[_Read], shown: Container[str]) -> list[str]:
    """What the judges that are shown compare answers with, and which judges are left out."""
    against = {judge.name: judge.against for each in read for judge in each.side.report.judges}
    return [
        f"Judge {name} compares answers with those of {against[name]}: at a win rate of 0.5 both are as good."
        if same
        else f"Judge {name} is not the same in all studies, or compares with another row: its figures are left out."
        for name, same in _judges_in_common(read).items()
        if name in shown or not same
    ]


def _metrics(each: _Read, arm: str) -> set[str]:
    return set(each.rows[arm].values) if arm in each.rows else set()


def _of_tests(first: _Read, other: _Read) -> str:
    """Whether two studies were tested on the same pairs."""
    ours, theirs = ({pair.id for pair in each.run.test} for each in (other, first))
    common = len(ours & theirs)
    names = f"{other.side.name} and {first.side.name}"
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


def _offers(side: Side) -> str:
    arms = ", ".join(arm.name for arm in side.report.arms) or "none"
    metrics = ", ".join(dict.fromkeys(name for _, name in figures_of(side.report))) or "none"
    return f"{side.name} has the arms {arms} with the figures {metrics}"
