"""Studies side by side as one HTML file that needs nothing else, scripts included."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trimtab.report.beside import Beside, Entry
from trimtab.report.cells import Cell, cell, difference_cell
from trimtab.report.duration import duration
from trimtab.report.figures import whiskers
from trimtab.report.html import environment, style
from trimtab.report.metrics import MetricInfo, metric_info
from trimtab.report.model import Arm, arm_order
from trimtab.report.seeds import OWN_ROWS, rows_led
from trimtab.report.verdict import question, verdict
from trimtab.types import Metric

_DRAWN = ("gold_reward", "proxy_reward", "accuracy", "win_rate", "pgr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An arm's figures by study, and its paired differences to the first study."""

    arm: str
    figures: dict[str, Cell]
    differences: dict[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A metric: drawn where that helps, and as a table."""

    info: MetricInfo
    svg: str
    rows: list[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPart:
    """A metric over seeds: each arm's mean, the spread between seeds, and its leads over the rows `against`."""

    info: MetricInfo
    against: list[str]
    rows: list[tuple[str, Cell, Cell, list[Cell | None]]]


def render(found: Beside) -> str:
    """The page; all text of the studies is escaped."""
    template = environment().get_template("compare.html.j2")
    return template.render(
        sides=[(side, question(side.report), verdict(side.report)[0]) for side in found.sides],
        notes=found.notes,
        duration=duration,
        seeds_speak_of=found.seeds_speak_of,
        seeds=[_seeds(found, metric) for metric in dict.fromkeys(each.metric for each in found.seeds)],
        parts=[_part(found, metric) for metric in found.metrics],
        first=found.sides[0].name,
        compared={name for entry in found.entries for name in entry.differences},
        style=style(),
    )


def _seeds(found: Beside, metric: str) -> SeedPart:
    entries = {each.arm: each for each in found.seeds if each.metric == metric}
    by_seed = found.seeds_speak_of == OWN_ROWS
    against = rows_led(entries.values())
    rows = [
        (
            arm,
            _of_seeds(cell(entries[arm].mean, metric), entries[arm].mean, by_seed),
            _of_seeds(cell(entries[arm].spread, metric), entries[arm].spread, by_seed=True),
            [
                _of_seeds(difference_cell(lead, metric), lead, by_seed) if lead else None
                for lead in (entries[arm].leads.get(each) for each in against)
            ],
        )
        for arm in arm_order(entries)
    ]
    return SeedPart(info=metric_info(metric), against=against, rows=rows)


def _of_seeds(shown: Cell, metric: Metric, by_seed: bool) -> Cell:
    return replace(shown, rows=f"{metric.n} seeds") if by_seed else shown


def _part(found: Beside, metric: str) -> Part:
    entries = found.of(metric)
    info = metric_info(metric)
    svg = _drawn(found, entries, info) if metric.partition(".")[0] in _DRAWN else ""
    return Part(info=info, svg=svg, rows=[_row(entry) for entry in entries])


def _row(entry: Entry) -> Row:
    return Row(
        arm=entry.arm,
        figures={name: cell(figure, entry.metric) for name, figure in entry.figures.items()},
        differences={name: difference_cell(each, entry.metric) for name, each in entry.differences.items()},
    )


def _drawn(found: Beside, entries: list[Entry], info: MetricInfo) -> str:
    """Each arm's figures under one another, a line a study; the first study in the color of references."""
    first = found.sides[0].name
    rows = [
        (
            Arm(name=f"{entry.arm} · {side.name}", role="reference" if side.name == first else "arm"),
            entry.figures[side.name],
        )
        for entry in entries
        for side in found.sides
        if side.name in entry.figures
    ]
    return whiskers(rows, info, f"{info.label} by arm and study", zero=False)
