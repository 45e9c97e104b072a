"""Studies side by side in a terminal: tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.report.beside import Beside, Entry, Side
from trimtab.report.metrics import metric_info, written
from trimtab.report.model import arm_order, differs
from trimtab.report.seeds import AGAINST, OverSeeds, rows_led
from trimtab.report.tables import MARKS, figures_table
from trimtab.report.verdict import question, verdict
from trimtab.types import Metric

# Figures of a study that fit a line beside the arm's name.
_STUDIES = 2


def summary(found: Beside) -> Group:
    """The studies with their answers, what must be known of them, and a table a metric."""
    parts: list[RenderableType] = []
    for side in found.sides:
        parts += [
            Text(side.name, style="bold"),
            Text(question(side.report), style="dim"),
            Text(verdict(side.report)[0]),
        ]
    parts += [Text(f"Note: {note}", style="yellow") for note in found.notes]
    parts += [Text(found.seeds_speak_of, style="dim")] if found.seeds else []
    for metric in dict.fromkeys(each.metric for each in found.seeds):
        title = f"{metric_info(metric).label}, over {len(found.sides)} seeds"
        parts += [Text(), Text(title, style="bold"), *_over_seeds(found, metric)]
    for metric in found.metrics:
        parts += [Text(), *_tables(found, metric)]
    first = found.sides[0].name
    legend = f"▲ ▼  the whole 95 % interval of the paired difference to {first} lies above or below zero"
    return Group(*parts, Text(legend, style="dim"))


def _over_seeds(found: Beside, metric: str) -> list[RenderableType]:
    """Means over seeds, the spread between them, and the lead over one row: `weak`, or else the first that there is. Leads
    over other rows that the study asks for have a line each."""
    entries = {each.arm: each for each in found.seeds if each.metric == metric}
    led = rows_led(entries.values())
    against = "weak" if "weak" in led else next(iter(led), "")
    table = figures_table("arm", ["mean", "between seeds", f"minus {against}"])
    for arm in arm_order(entries):
        entry = entries[arm]
        lead = entry.leads.get(against)
        table.add_row(
            Text(arm, style="bold"),
            _figure(entry.mean, metric),
            Text(written(entry.spread, metric_info(metric))[0]),
            Text("") if lead is None else Text.assemble(_figure(lead, metric, signed=True), f" {_mark(lead)}".rstrip()),
        )
    others = [other for other in led if other != against and other not in AGAINST]
    return [table, *_asked([entries[arm] for arm in arm_order(entries)], others, metric)]


def _asked(entries: Sequence[OverSeeds], others: Sequence[str], metric: str) -> list[Text]:
    return [
        Text.assemble(
            f"{entry.arm} minus {other}: ",
            _figure(entry.leads[other], metric, signed=True),
            f" {_mark(entry.leads[other])}".rstrip(),
        )
        for entry in entries
        for other in others
        if other in entry.leads
    ]


def _figure(metric: Metric, name: str, *, signed: bool = False) -> Text:
    value, interval = written(metric, metric_info(name), signed=signed)
    return Text.assemble(value, " ", (interval, "dim"))


def _tables(found: Beside, metric: str) -> list[Table]:
    first, *others = found.sides
    parts = [others[start : start + _STUDIES - 1] for start in range(0, len(others), _STUDIES - 1)]
    return [_table(found.of(metric), metric, (first, *part)) for part in parts]


def _table(entries: Sequence[Entry], metric: str, sides: Sequence[Side]) -> Table:
    info = metric_info(metric)
    table = figures_table(f"{info.label}{f', {info.unit}' if info.unit else ''}", [side.name for side in sides])
    for entry in entries:
        figures = [_cell(entry, side.name) for side in sides]
        table.add_row(Text(entry.arm, style="bold"), *figures)
    return table


def _cell(entry: Entry, study: str) -> Text:
    if study not in entry.figures:
        return Text("–")
    mark = _mark(entry.differences.get(study))
    return Text.assemble(_figure(entry.figures[study], entry.metric), f" {mark}".rstrip())


def _mark(difference: Metric | None) -> str:
    return "" if difference is None else MARKS[differs(difference)].strip()
