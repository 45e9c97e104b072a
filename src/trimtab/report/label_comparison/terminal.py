"""Match and mismatch in a terminal: a line for each measure, a column for each set."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.report.label_comparison.metrics import LabelComparison, LabelSourceInfo
from trimtab.report.metric_registry import MetricInfo, format_value
from trimtab.types import Metric

# Chance, for a set of pairs on which two sources prefer opposite responses.
CHANCE = 0.5
_LEGEND = "Lengths in characters and gold rewards are of the response that A prefers; a gap is to the other response."
LABEL_COMPARISON_METRICS = {
    info.name: info
    for info in (
        MetricInfo(name="share", label="share", better="neither", count_noun="pairs", description=""),
        MetricInfo(name="agreement", label="agreement", better="neither", count_noun="pairs", description=""),
        MetricInfo(name="kappa", label="kappa", better="neither", count_noun="pairs", description=""),
        MetricInfo(name="confidence_a", label="confidence A", better="neither", count_noun="pairs", description=""),
        MetricInfo(name="confidence_b", label="confidence B", better="neither", count_noun="pairs", description=""),
        MetricInfo(name="accuracy_a", label="accuracy A", better="higher", count_noun="pairs", description=""),
        MetricInfo(name="accuracy_b", label="accuracy B", better="higher", count_noun="pairs", description=""),
        MetricInfo(name="lead", label="A longer by", better="neither", count_noun="pairs", description="", digits=1),
        MetricInfo(name="length", label="A's length", better="neither", count_noun="pairs", description="", digits=1),
    )
}


def render_label_comparison(compared: LabelComparison) -> Group:
    """The two sources, how often they agree, who is right where they differ, and the sets."""
    parts: list[RenderableType] = [
        Text(f"A: {_source_line(compared.a)}\nB: {_source_line(compared.b)}"),
        *(Text(f"Note: {note}.", style="yellow") for note in compared.notes),
        Text(" ".join(summarize_label_comparison(compared))),
        Text(),
        _subset_table(compared),
        Text(_LEGEND, style="dim"),
    ]
    return Group(*parts, *([_bin_table(compared)] if compared.bins else []))


def summarize_label_comparison(compared: LabelComparison) -> list[str]:
    """What the figures say, as far as their intervals let them."""
    agreement, kappa = (
        _format_metric(each, name) for each, name in ((compared.agreement, "agreement"), (compared.kappa, "kappa"))
    )
    return [
        f"They prefer the same response on {agreement} of the {compared.agreement.n:,} pairs on which both prefer one; "
        f"kappa {kappa}.",
        *_accuracy_sentences(compared),
    ]


def _accuracy_sentences(compared: LabelComparison) -> list[str]:
    right = compared.subsets["mismatch"].metrics.get("accuracy_a")
    if right is None or right.low is None or right.high is None or compared.b.is_human:
        return []
    said = "A is" if right.low > CHANCE else "B is" if right.high < CHANCE else "neither can be told to be"
    told = _format_metric(right, "accuracy_a")
    return [f"Where they differ, people are with A on {told} of {right.n:,} pairs: {said} the better."]


def _source_line(source: LabelSourceInfo) -> str:
    people = ", human labels" if source.is_human else ""
    return f"{source.name}: {source.num_labels:,} labels{people}, {source.num_with_choice:,} of which prefer a response"


def _subset_table(compared: LabelComparison) -> Table:
    table = _new_table("", [f"{name}, {each.num_pairs:,} pairs" for name, each in compared.subsets.items()])
    for name in compared.subsets["all"].metrics:
        table.add_row(
            _label_metric_info(name).label,
            *(_metric_text(each.metrics.get(name), name) for each in compared.subsets.values()),
        )
    return table


def _bin_table(compared: LabelComparison) -> Table:
    columns = list(compared.bins[0].metrics)
    table = _new_table(f"by {compared.bin_variable}", ["pairs", *(_label_metric_info(name).label for name in columns)])
    for each in compared.bins:
        cells = [_metric_text(each.metrics.get(name), name) for name in columns]
        table.add_row(f"{each.low:.4g} to {each.high:.4g}", f"{each.metrics['agreement'].n:,}", *cells)
    return table


def _label_metric_info(name: str) -> MetricInfo:
    """`gold_difference.proxy` is how much more the gold reward `proxy` gives to what A prefers than to the other response."""
    family, _, scorer = name.partition(".")
    if not scorer:
        return LABEL_COMPARISON_METRICS[name]
    what = {"gold_preferred": "A's", "gold_other": "other", "gold_difference": "gap"}[family]
    return MetricInfo(name=name, label=f"{scorer}: {what}", better="neither", count_noun="pairs", description="")


def _metric_text(metric: Metric | None, name: str) -> Text:
    if metric is None:
        return Text()
    value, interval = format_value(metric, _label_metric_info(name))
    return Text.assemble(value, " ", (interval, "dim"))


def _format_metric(metric: Metric, name: str) -> str:
    return " ".join(filter(None, format_value(metric, _label_metric_info(name))))


def _new_table(first: str, columns: Sequence[str]) -> Table:
    """Names fold when the terminal is narrow; figures never do."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 0), header_style="bold")
    table.add_column(Text(first), overflow="fold", min_width=10)
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    return table
