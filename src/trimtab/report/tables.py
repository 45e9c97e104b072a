"""The report in a terminal: tables that fit 80 columns, returned as rich renderables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.report.comparisons import head_to_head, p_told
from trimtab.report.duration import duration
from trimtab.report.judge_tables import judge_tables
from trimtab.report.metrics import metric_info, written
from trimtab.report.model import Arm, Comparison, LabelInfo, Report, arm_order, differs
from trimtab.report.proxies import with_proxies
from trimtab.report.side_effects import OF_THEIR_OWN, SIDE_EFFECTS
from trimtab.report.verdict import BASELINE, verdict
from trimtab.types import Metric

MARKS = {"above": "▲", "below": "▼", "unclear": " "}
_LEGEND = "▲ ▼  the whole 95 % interval of the paired difference lies above or below zero"


def summary(report: Report) -> Group:
    """Everything: the verdict, the notes, a table a metric, the labels, the data and the cost."""
    report = with_proxies(report)
    parts: list[RenderableType] = [
        Text(report.study.name, style="bold"),
        verdict_text(report),
        *(Text(f"Note: {note}", style="yellow") for note in report.notes),
        Text(),
        arms_tables(report),
    ]
    found = head_to_head(report)
    if found:
        parts += [Text(), head_to_head_table(found)]
    if any(name in OF_THEIR_OWN for name in _metrics(report)):
        parts.append(side_effects_table(report))
    if report.similarities:
        parts.append(similarities_table(report))
    if report.rewards:
        parts += [Text(), rewards_table(report)]
    if report.labels:
        parts += [Text(), labels_table(report)]
    if report.judges:
        parts += [Text(), judge_tables(report)]
    return Group(*parts, Text(), data_lines(report), cost_lines(report))


def verdict_text(report: Report) -> Text:
    return Text(" ".join(verdict(report)))


def arms_tables(report: Report) -> Group:
    """One table for each metric that was compared with SFT alone, one for the others, and why arms were skipped."""
    metrics = [name for name in _metrics(report) if name not in OF_THEIR_OWN]
    compared = {each.metric for each in report.comparisons if each.against == BASELINE}
    parts: list[RenderableType] = [compared_table(report, metric) for metric in metrics if metric in compared]
    if parts:
        parts.append(Text(_LEGEND, style="dim"))
    # Three columns of figures and the arms' names are what 80 columns hold.
    rest = [metric for metric in metrics if metric not in compared]
    parts += [_plain_table(report, rest[start : start + 3]) for start in range(0, len(rest), 3)]
    parts += [Text(f"{arm.name}: no student, {arm.skipped}", style="dim") for arm in ordered(report) if arm.skipped]
    return Group(*parts)


def compared_table(report: Report, metric: str) -> Table:
    """The arms by one metric: its value, n, the paired difference to SFT alone and on which side of zero that is."""
    info = metric_info(metric)
    table = figures_table("arm", [f"{info.label}{_in(info.unit)}", info.rows, "paired difference to sft", ""])
    for arm in ordered(report):
        if metric in arm.metrics:
            figure, difference = arm.metrics[metric], report.comparison(arm.name, BASELINE, metric)
            change, mark = (
                ("", "") if difference is None else (_cell(difference, metric, signed=True), _mark(difference))
            )
            table.add_row(_name(arm), _cell(figure, metric), _count(figure), change, mark)
    return table


def head_to_head_table(found: Sequence[Comparison]) -> Group:
    """The comparisons that a study is for, a table a figure: the rows that differ, and the exact p-value."""
    tables = []
    for metric in dict.fromkeys(each.metric for each in found):
        table = figures_table(f"{metric_info(metric).label}, paired difference", ["", "", "above, below", "p"])
        for each in found:
            if each.metric == metric:
                pair = Text.assemble((each.arm, "bold"), f"\n− {each.against}")
                shown = (_cell(each.difference, metric, signed=True), _mark(each.difference))
                table.add_row(pair, *shown, f"{each.above:,}, {each.below:,}", p_told(each.p_value))
        tables.append(table)
    return Group(Text("Head to head", style="bold"), *tables)


def side_effects_table(report: Report) -> Group:
    """What else came of the training, three measures a table."""
    metrics = [name for name in SIDE_EFFECTS if name in _metrics(report)]
    parts = [_plain_table(report, metrics[start : start + 3]) for start in range(0, len(metrics), 3)]
    return Group(Text("Side effects", style="bold"), *parts)


def similarities_table(report: Report) -> Table:
    """How alike answers are: to what people preferred, to those of SFT alone, and to those on human labels."""
    cosines = {each: info.cosine for info in report.similarities for each in ((info.arm, info.to), (info.to, info.arm))}
    beside = [name for name in ("preferred", BASELINE, "human") if any(name in each for each in cosines)]
    table = figures_table("cosine", [f"to {name}" for name in beside])
    for arm in ordered(report):
        found = [cosines.get((arm.name, name)) for name in beside]
        if any(found):
            table.add_row(_name(arm), *(_cell(each, "cosine") if each else "" for each in found))
    return table


def _metrics(report: Report) -> list[str]:
    return list(dict.fromkeys(name for arm in report.arms for name in arm.metrics))


def rewards_table(report: Report) -> Table:
    """The gold rewards: who gives them, and how far each agrees with people on the test pairs."""
    table = figures_table("reward", ["agreement with people", "the longer response", "pairs"])
    for each in report.rewards:
        who = f"{each.name}, {'a proxy' if each.proxy else each.kind}"
        cells = [_cell(each.agreement, "agreement"), _cell(each.longer, "agreement")]
        table.add_row(Text(who, style="bold"), *cells, _count(each.agreement))
    return table


def labels_table(report: Report) -> Table:
    """The labels that students were trained on: one line a measure."""
    metrics = list(dict.fromkeys(name for label in report.labels for name in label.metrics))
    table = figures_table("labels", ["measure", "value", "pairs"])
    for label in _ordered_labels(report):
        about: tuple[Text, ...] = (
            Text(label.arm, style="bold"),
            Text(label.annotator, style="dim"),
            Text(f"{label.n_pairs:,} pairs"),
        )
        known = [(name, label.metrics[name]) for name in metrics if name in label.metrics]
        figures = [(metric_info(name).label, _cell(figure, name), _count(figure)) for name, figure in known]
        for left, right in zip_longest(about, figures):
            table.add_row(left, *(right or ()))
        table.add_section()
    return table


def data_lines(report: Report) -> Text:
    """One line a split."""
    lines = [
        f"{split.name}: {split.pairs:,} pairs of {split.prompts:,} prompts"
        + (f", {split.failures:,} rows failed" if split.failures else "")
        + (f" ({split.note})" if split.note else "")
        for split in report.data
    ]
    return Text("\n".join(lines))


def cost_lines(report: Report) -> Text:
    """One line: how long the work took, how much of it this run found done, and the tokens."""
    if not report.costs:
        return Text()
    cached = [stage for stage in report.costs if stage.cached]
    seconds = sum(stage.seconds for stage in report.costs)
    parts = [f"{len(report.costs)} stages, {duration(seconds)}"]
    if cached:
        parts.append(f"{len(cached)} cached ({duration(sum(stage.seconds for stage in cached))} saved)")
    parts.append(f"{sum(stage.tokens for stage in report.costs):,} tokens")
    return Text(", ".join(parts))


def ordered(report: Report) -> list[Arm]:
    """The arms in the order of every table."""
    by_name = {arm.name: arm for arm in report.arms}
    return [by_name[name] for name in arm_order(by_name)]


def _ordered_labels(report: Report) -> list[LabelInfo]:
    by_name = {label.arm: label for label in report.labels}
    return [by_name[name] for name in arm_order(by_name)]


def _plain_table(report: Report, metrics: Sequence[str]) -> Table:
    table = figures_table("arm", [f"{metric_info(name).label}{_in(metric_info(name).unit)}" for name in metrics])
    for arm in ordered(report):
        if any(metric in arm.metrics for metric in metrics):
            cells = [_cell(arm.metrics[name], name) if name in arm.metrics else "" for name in metrics]
            table.add_row(_name(arm), *cells)
    return table


def figures_table(first: str, columns: Sequence[str]) -> Table:
    """Names fold when the terminal is narrow; figures never do."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    return table


def _name(arm: Arm) -> Text:
    return Text(arm.name, style="dim" if arm.role == "reference" else "bold")


def _cell(metric: Metric, name: str, *, signed: bool = False) -> Text:
    value, interval = written(metric, metric_info(name), signed=signed)
    return Text.assemble(value, " ", (interval, "dim"))


def _mark(difference: Metric) -> str:
    return MARKS[differs(difference)]


def _count(metric: Metric) -> str:
    return f"{metric.n:,}" + (f" ({metric.n_failed:,} without)" if metric.n_failed else "")


def _in(unit: str) -> str:
    return f", {unit}" if unit else ""
