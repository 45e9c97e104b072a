"""Match and mismatch in a terminal: a line for each measure, a column for each set."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.report.agree import Comparison, SourceInfo
from trimtab.report.metrics import MetricInfo, written
from trimtab.types import Metric

# Chance, for a set of pairs on which two sources prefer opposite responses.
EVEN = 0.5
_LEGEND = "Lengths in characters and gold rewards are of the response that A prefers; a gap is to the other response."
MEASURES = {
    info.name: info
    for info in (
        MetricInfo(name="share", label="share", better="neither", rows="pairs", meaning=""),
        MetricInfo(name="agreement", label="agreement", better="neither", rows="pairs", meaning=""),
        MetricInfo(name="kappa", label="kappa", better="neither", rows="pairs", meaning=""),
        MetricInfo(name="confidence_a", label="confidence A", better="neither", rows="pairs", meaning=""),
        MetricInfo(name="confidence_b", label="confidence B", better="neither", rows="pairs", meaning=""),
        MetricInfo(name="accuracy_a", label="accuracy A", better="higher", rows="pairs", meaning=""),
        MetricInfo(name="accuracy_b", label="accuracy B", better="higher", rows="pairs", meaning=""),
        MetricInfo(name="lead", label="A longer by", better="neither", rows="pairs", meaning="", digits=1),
        MetricInfo(name="length", label="A's length", better="neither", rows="pairs", meaning="", digits=1),
    )
}


def agreement_tables(compared: Comparison) -> Group:
    """The two sources, how often they agree, who is right where they differ, and the sets."""
    parts: list[RenderableType] = [
        Text(f"A: {_source(compared.a)}\nB: {_source(compared.b)}"),
        *(Text(f"Note: {note}.", style="yellow") for note in compared.notes),
        Text(" ".join(sentences(compared))),
        Text(),
        _sets(compared),
        Text(_LEGEND, style="dim"),
    ]
    return Group(*parts, *([_bins(compared)] if compared.bins else []))


def sentences(compared: Comparison) -> list[str]:
    """What the figures say, as far as their intervals let them."""
    agreement, kappa = (
        _told(each, name) for each, name in ((compared.agreement, "agreement"), (compared.kappa, "kappa"))
    )
    return [
        f"They prefer the same response on {agreement} of the {compared.agreement.n:,} pairs on which both prefer one; "
        f"kappa {kappa}.",
        *_who_is_right(compared),
    ]


def _who_is_right(compared: Comparison) -> list[str]:
    right = compared.sets["mismatch"].figures.get("accuracy_a")
    if right is None or right.low is None or right.high is None or compared.b.people:
        return []
    said = "A is" if right.low > EVEN else "B is" if right.high < EVEN else "neither can be told to be"
    told = _told(right, "accuracy_a")
    return [f"Where they differ, people are with A on {told} of {right.n:,} pairs: {said} the better."]


def _source(source: SourceInfo) -> str:
    people = ", human labels" if source.people else ""
    return f"{source.name}: {source.labels:,} labels{people}, {source.preferring:,} of which prefer a response"


def _sets(compared: Comparison) -> Table:
    table = _table("", [f"{name}, {each.pairs:,} pairs" for name, each in compared.sets.items()])
    for name in compared.sets["all"].figures:
        table.add_row(_info(name).label, *(_cell(each.figures.get(name), name) for each in compared.sets.values()))
    return table


def _bins(compared: Comparison) -> Table:
    columns = list(compared.bins[0].figures)
    table = _table(f"by {compared.by}", ["pairs", *(_info(name).label for name in columns)])
    for each in compared.bins:
        cells = [_cell(each.figures.get(name), name) for name in columns]
        table.add_row(f"{each.low:.4g} to {each.high:.4g}", f"{each.figures['agreement'].n:,}", *cells)
    return table


def _info(name: str) -> MetricInfo:
    """`gold_difference.proxy` is how much more the gold reward `proxy` gives to what A prefers than to the other response."""
    family, _, scorer = name.partition(".")
    if not scorer:
        return MEASURES[name]
    what = {"gold_preferred": "A's", "gold_other": "other", "gold_difference": "gap"}[family]
    return MetricInfo(name=name, label=f"{scorer}: {what}", better="neither", rows="pairs", meaning="")


def _cell(metric: Metric | None, name: str) -> Text:
    if metric is None:
        return Text()
    value, interval = written(metric, _info(name))
    return Text.assemble(value, " ", (interval, "dim"))


def _told(metric: Metric, name: str) -> str:
    return " ".join(filter(None, written(metric, _info(name))))


def _table(first: str, columns: Sequence[str]) -> Table:
    """Names fold when the terminal is narrow; figures never do."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 0), header_style="bold")
    table.add_column(Text(first), overflow="fold", min_width=10)
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    return table
