"""Several studies side by side: the figures that they have in common, and paired differences where test rows are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab import statistics
from trimtab.errors import DataError, StudyError
from trimtab.report.collect import Rows, collected, rows_by_arm
from trimtab.report.folder import Run
from trimtab.report.model import Report, arm_order
from trimtab.report.rewards import shown_as
from trimtab.report.seeds import OverSeeds, over_seeds, same_but_for_seeds
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
    all of them where they are one study with several seeds."""

    sides: tuple[Side, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    seeds: tuple[OverSeeds, ...] = ()

    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(entry.metric for entry in self.entries))

    def of(self, metric: str) -> list[Entry]:
        """The metric's entries, in the order of every table."""
        by_arm = {entry.arm: entry for entry in self.entries if entry.metric == metric}
        return [by_arm[arm] for arm in arm_order(by_arm)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A study with what its figures are averaged from."""

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
    return Beside(
        sides=tuple(each.side for each in read),
        entries=tuple(entries),
        notes=tuple(_notes(read)),
        seeds=tuple(_seeds(read)),
    )


def _seeds(read: Sequence[_Read]) -> list[OverSeeds]:
    if not same_but_for_seeds([each.run.study for each in read]):
        return []
    return over_seeds([each.rows for each in read], read[0].run.prompts)


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
    return _Read(side=Side(name=name, folder=folder, report=collected(run)), run=run, rows=rows_by_arm(run))


def _entries(read: Sequence[_Read]) -> list[Entry]:
    found: dict[tuple[str, str], dict[str, Metric]] = {}
    rewards = tuple(reward for each in read for reward in each.side.report.rewards)
    for each in read:
        for arm in each.side.report.arms:
            for metric, figure in arm.metrics.items():
                found.setdefault((arm.name, metric), {})[each.side.name] = figure
    return [
        Entry(arm=arm, metric=shown_as(metric, rewards), figures=figures, differences=_differences(read, arm, metric))
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
    """Gold rewards of different scorers have no difference."""
    return not metric.startswith("gold_reward") or _scorers(one, arm) == _scorers(other, arm)


def _scorers(run: Run, arm: str) -> list[object]:
    """What gave an arm's gold rewards: settings and weights."""
    scores = next(each["scores"] for each in run.arms if each["name"] == arm)
    records = {name: run.artifact(stage).record for name, stage in scores.items()}
    return [
        (name, record["settings"], {key: value for key, value in record["inputs"].items() if key != "completions"})
        for name, record in records.items()
    ]


def _notes(read: Sequence[_Read]) -> list[str]:
    first, *others = read
    notes = [_of_tests(first, each) for each in others]
    for each in others:
        shared = [arm["name"] for arm in each.run.arms if arm["scores"] and _has_scores(first.run, arm["name"])]
        if any(_scorers(first.run, arm) != _scorers(each.run, arm) for arm in shared):
            notes.append(
                f"{each.side.name} and {first.side.name} are scored by different scorers: their gold rewards stand side by "
                "side and have no difference."
            )
    return [*notes, *(f"{each.side.name}: {each.side.report.notes[0]}" for each in read if each.side.report.missing)]


def _has_scores(run: Run, arm: str) -> bool:
    return any(each["name"] == arm and each["scores"] for each in run.arms)


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
    metrics = ", ".join(dict.fromkeys(name for arm in side.report.arms for name in arm.metrics)) or "none"
    return f"{side.name} has the arms {arms} with the figures {metrics}"
