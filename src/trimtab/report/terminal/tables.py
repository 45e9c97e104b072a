"""The report in a terminal: tables that fit 80 columns, returned as rich renderables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.report.collect.comparisons import format_p_value, select_main_comparisons
from trimtab.report.collect.side_effects import SIDE_EFFECT_ONLY, SIDE_EFFECTS
from trimtab.report.collect.trained_rewards import relabel_trained_rewards
from trimtab.report.duration import format_duration
from trimtab.report.metric_registry import format_value, get_metric_info
from trimtab.report.model import Arm, Comparison, LabelInfo, Report, classify_difference, sort_arm_names
from trimtab.report.terminal.judges import build_judge_tables
from trimtab.report.text.verdict import BASELINE, build_verdict
from trimtab.types import Metric

DIRECTION_MARKS = {"above": "▲", "below": "▼", "unclear": " "}
_LEGEND = "▲ ▼  the whole 95 % interval of the paired difference lies above or below zero"


def render_report_summary(report: Report) -> Group:
    """Everything: the verdict, the notes, a table a metric, the labels, the data and the cost."""
    report = relabel_trained_rewards(report)
    parts: list[RenderableType] = [
        Text(report.study.name, style="bold"),
        render_verdict(report),
        *(Text(f"Note: {note}", style="yellow") for note in report.notes),
        Text(),
        build_arm_tables(report),
    ]
    found = select_main_comparisons(report)
    if found:
        parts += [Text(), build_comparisons_table(found)]
    if any(name in SIDE_EFFECT_ONLY for name in _list_metrics(report)):
        parts.append(build_side_effects_table(report))
    if report.similarities:
        parts.append(build_similarities_table(report))
    if report.rewards:
        parts += [Text(), build_rewards_table(report)]
    if report.labels:
        parts += [Text(), build_labels_table(report)]
    if report.judges:
        parts += [Text(), build_judge_tables(report)]
    return Group(*parts, Text(), format_splits(report), format_costs(report))


def render_verdict(report: Report) -> Text:
    return Text(" ".join(build_verdict(report)))


def build_arm_tables(report: Report) -> Group:
    """One table for each metric that was compared with SFT alone, one for the others, and why arms were skipped."""
    metrics = [name for name in _list_metrics(report) if name not in SIDE_EFFECT_ONLY]
    compared = {each.metric for each in report.comparisons if each.baseline == BASELINE}
    parts: list[RenderableType] = [build_difference_table(report, metric) for metric in metrics if metric in compared]
    if parts:
        parts.append(Text(_LEGEND, style="dim"))
    # Three columns of figures and the arms' names are what 80 columns hold.
    rest = [metric for metric in metrics if metric not in compared]
    parts += [_build_values_table(report, rest[start : start + 3]) for start in range(0, len(rest), 3)]
    parts += [Text(f"{arm.name}: no student, {arm.skipped}", style="dim") for arm in sort_arms(report) if arm.skipped]
    return Group(*parts)


def build_difference_table(report: Report, metric: str) -> Table:
    """The arms by one metric: its value, n, the paired difference to SFT alone and on which side of zero that is."""
    info = get_metric_info(metric)
    table = create_metric_table(
        "arm", [f"{info.label}{_format_unit(info.unit)}", info.count_noun, "paired difference to sft", ""]
    )
    for arm in sort_arms(report):
        if metric in arm.metrics:
            figure, difference = arm.metrics[metric], report.get_difference(arm.name, BASELINE, metric)
            change, mark = (
                ("", "")
                if difference is None
                else (_format_metric(difference, metric, signed=True), _direction_mark(difference))
            )
            table.add_row(_format_arm_name(arm), _format_metric(figure, metric), _format_count(figure), change, mark)
    return table


def build_comparisons_table(found: Sequence[Comparison]) -> Group:
    """The comparisons that a study is for, a table a figure: the rows that differ, and the exact p-value."""
    tables = []
    for metric in dict.fromkeys(each.metric for each in found):
        table = create_metric_table(
            f"{get_metric_info(metric).label}, paired difference", ["", "", "above, below", "p"]
        )
        for each in found:
            if each.metric == metric:
                pair = Text.assemble((each.arm, "bold"), f"\n− {each.baseline}")
                shown = (_format_metric(each.difference, metric, signed=True), _direction_mark(each.difference))
                table.add_row(pair, *shown, f"{each.wins:,}, {each.losses:,}", format_p_value(each.p_value))
        tables.append(table)
    return Group(Text("Head to head", style="bold"), *tables)


def build_side_effects_table(report: Report) -> Group:
    """What else came of the training, three measures a table."""
    metrics = [name for name in SIDE_EFFECTS if name in _list_metrics(report)]
    parts = [_build_values_table(report, metrics[start : start + 3]) for start in range(0, len(metrics), 3)]
    return Group(Text("Side effects", style="bold"), *parts)


def build_similarities_table(report: Report) -> Table:
    """How alike answers are: to what people preferred, to those of SFT alone, and to those on human labels."""
    cosines = {
        each: info.cosine
        for info in report.similarities
        for each in ((info.arm, info.compared_to), (info.compared_to, info.arm))
    }
    beside = [name for name in ("preferred", BASELINE, "human") if any(name in each for each in cosines)]
    table = create_metric_table("cosine", [f"to {name}" for name in beside])
    for arm in sort_arms(report):
        found = [cosines.get((arm.name, name)) for name in beside]
        if any(found):
            table.add_row(_format_arm_name(arm), *(_format_metric(each, "cosine") if each else "" for each in found))
    return table


def _list_metrics(report: Report) -> list[str]:
    return list(dict.fromkeys(name for arm in report.arms for name in arm.metrics))


def build_rewards_table(report: Report) -> Table:
    """The gold rewards: who gives them, and how far each agrees with people on the test pairs."""
    table = create_metric_table("reward", ["agreement with people", "the longer response", "pairs"])
    for each in report.rewards:
        who = f"{each.name}, {'a proxy' if each.is_proxy else each.kind}"
        cells = [_format_metric(each.agreement, "agreement"), _format_metric(each.length_baseline, "agreement")]
        table.add_row(Text(who, style="bold"), *cells, _format_count(each.agreement))
    return table


def build_labels_table(report: Report) -> Table:
    """The labels that students were trained on: one line a measure."""
    metrics = list(dict.fromkeys(name for label in report.labels for name in label.metrics))
    table = create_metric_table("labels", ["measure", "value", "pairs"])
    for label in _sort_labels(report):
        about: tuple[Text, ...] = (
            Text(label.arm, style="bold"),
            Text(label.annotator, style="dim"),
            Text(f"{label.n_pairs:,} pairs"),
        )
        known = [(name, label.metrics[name]) for name in metrics if name in label.metrics]
        figures = [
            (get_metric_info(name).label, _format_metric(figure, name), _format_count(figure)) for name, figure in known
        ]
        for left, right in zip_longest(about, figures):
            table.add_row(left, *(right or ()))
        table.add_section()
    return table


def format_splits(report: Report) -> Text:
    """One line a split."""
    lines = [
        f"{split.name}: {split.pairs:,} pairs of {split.prompts:,} prompts"
        + (f", {split.failures:,} rows failed" if split.failures else "")
        + (f" ({split.note})" if split.note else "")
        for split in report.data
    ]
    return Text("\n".join(lines))


def format_costs(report: Report) -> Text:
    """One line: how long the work took, how much of it this run found done, and the tokens."""
    if not report.stage_costs:
        return Text()
    cached = [stage for stage in report.stage_costs if stage.from_cache]
    seconds = sum(stage.seconds for stage in report.stage_costs)
    parts = [f"{len(report.stage_costs)} stages, {format_duration(seconds)}"]
    if cached:
        parts.append(f"{len(cached)} cached ({format_duration(sum(stage.seconds for stage in cached))} saved)")
    parts.append(f"{sum(stage.tokens for stage in report.stage_costs):,} tokens")
    return Text(", ".join(parts))


def sort_arms(report: Report) -> list[Arm]:
    """The arms in the order of every table."""
    by_name = {arm.name: arm for arm in report.arms}
    return [by_name[name] for name in sort_arm_names(by_name)]


def _sort_labels(report: Report) -> list[LabelInfo]:
    by_name = {label.arm: label for label in report.labels}
    return [by_name[name] for name in sort_arm_names(by_name)]


def _build_values_table(report: Report, metrics: Sequence[str]) -> Table:
    table = create_metric_table(
        "arm", [f"{get_metric_info(name).label}{_format_unit(get_metric_info(name).unit)}" for name in metrics]
    )
    for arm in sort_arms(report):
        if any(metric in arm.metrics for metric in metrics):
            cells = [_format_metric(arm.metrics[name], name) if name in arm.metrics else "" for name in metrics]
            table.add_row(_format_arm_name(arm), *cells)
    return table


def create_metric_table(first: str, columns: Sequence[str]) -> Table:
    """Names fold when the terminal is narrow; figures never do."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    return table


def _format_arm_name(arm: Arm) -> Text:
    return Text(arm.name, style="dim" if arm.role == "reference" else "bold")


def _format_metric(metric: Metric, name: str, *, signed: bool = False) -> Text:
    value, interval = format_value(metric, get_metric_info(name), signed=signed)
    return Text.assemble(value, " ", (interval, "dim"))


def _direction_mark(difference: Metric) -> str:
    return DIRECTION_MARKS[classify_difference(difference)]


def _format_count(metric: Metric) -> str:
    return f"{metric.n:,}" + (f" ({metric.n_failed:,} without)" if metric.n_failed else "")


def _format_unit(unit: str) -> str:
    return f", {unit}" if unit else ""
