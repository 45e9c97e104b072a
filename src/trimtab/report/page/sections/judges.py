"""Judges' win rates of the arms, and the agreement of judges with each other and with human labels."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.metrics.judge_quality import OUTCOMES, RaterAgreement
from trimtab.report.duration import format_duration
from trimtab.report.formatting import MetricCell, format_metric_cell
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import JudgeInfo, Report, sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow
from trimtab.report.value_format import format_number

ARM_METRICS = ("win_rate", "length_controlled_win_rate", "order_inconsistency")
CRITERION_METRICS = ("order_inconsistency", "human_agreement")
AGREEMENT_METRICS = ("kappa", "alpha")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeView:
    """One judge, with its tables and a sentence on its cost."""

    info: JudgeInfo
    tables: tuple[Table, ...]
    cost: str


def build_judges_section(contents: PageContents) -> Section | None:
    """An article per judge, and a table of agreement."""
    report = contents.report
    if not report.judges:
        return None
    names = [name for judge in report.judges for name in judge.metrics]
    return Section(
        id="judges",
        title="Judges",
        tab="Students",
        tables=_build_agreement_tables(report),
        template="judges",
        values={"judges": [_build_judge_view(judge) for judge in report.judges]},
        metrics=(*ARM_METRICS, *names, *(AGREEMENT_METRICS if names else ())),
    )


def build_judge_tables(report: Report) -> tuple[Table, ...]:
    """The tables of every judge, then the table of agreement."""
    by_judge = (table for judge in report.judges for table in _build_tables_of_judge(judge))
    return (*by_judge, *_build_agreement_tables(report))


def _build_judge_view(judge: JudgeInfo) -> JudgeView:
    cost = judge.cost
    return JudgeView(
        info=judge,
        tables=_build_tables_of_judge(judge),
        cost=f"{cost.calls:,} model calls, {cost.prompt_tokens:,} input tokens computed, {cost.cached_tokens:,} cached, "
        f"{cost.generated_tokens:,} generated, {format_duration(cost.seconds)}.",
    )


def _build_tables_of_judge(judge: JudgeInfo) -> tuple[Table, ...]:
    metrics = Table(
        title=f"Judge {judge.name}: quality",
        row_title="Metric",
        columns=(Column(title="Value"),),
        rows=tuple(
            TableRow(name=get_metric_info(name).label, cells=(format_metric_cell(metric, name),))
            for name, metric in judge.metrics.items()
        ),
    )
    criteria = (_build_criteria_table(judge),) if judge.criteria else ()
    return (_build_arm_table(judge), metrics, *criteria) if judge.arms else (metrics, *criteria)


def _build_criteria_table(judge: JudgeInfo) -> Table:
    """A row per criterion: its weight, then metrics of the answers about it alone."""
    names = [name for name in CRITERION_METRICS if any(name in each.metrics for each in judge.criteria.values())]
    metric_columns = (Column(title=get_metric_info(name).label) for name in names)
    rows = tuple(
        TableRow(
            name=criterion,
            cells=(format_number(each.weight), *(format_metric_cell(each.metrics[name], name) for name in names)),
        )
        for criterion, each in judge.criteria.items()
    )
    return Table(
        title=f"Judge {judge.name}: criteria",
        row_title="Criterion",
        columns=(Column(title="Weight", numeric=True), *metric_columns),
        rows=rows,
    )


def _build_arm_table(judge: JudgeInfo) -> Table:
    """A row per arm: metrics, then the number of responses by outcome."""
    names = [name for name in ARM_METRICS if name != "order_inconsistency" or not judge.queries_one_order]
    metric_columns = (Column(title=get_metric_info(name).label) for name in names)
    outcome_columns = (Column(title=outcome.capitalize(), numeric=True) for outcome in OUTCOMES)
    rows = []
    for name in sort_arm_names(judge.arms):
        arm = judge.arms[name]
        metrics = (format_metric_cell(arm.metrics[metric], metric) for metric in names)
        counts = (f"{arm.counts.get(outcome, 0):,}" for outcome in OUTCOMES)
        rows.append(TableRow(name=name, cells=(*metrics, *counts)))
    return Table(
        title=f"Judge {judge.name}, against {judge.baseline}",
        row_title="Arm",
        columns=(*metric_columns, *outcome_columns),
        rows=tuple(rows),
    )


def _build_agreement_tables(report: Report) -> tuple[Table, ...]:
    if not report.rater_agreements:
        return ()
    metric_columns = (Column(title=get_metric_info(name).label) for name in AGREEMENT_METRICS)
    rows = tuple(
        TableRow(
            name=", ".join(agreement.raters),
            cells=(agreement.rated_items, *(_build_cell(agreement, name) for name in AGREEMENT_METRICS)),
        )
        for agreement in report.rater_agreements
    )
    columns = (Column(title="Rated items"), *metric_columns)
    return (Table(title="Agreement of raters", row_title="Raters", columns=columns, rows=rows),)


def _build_cell(agreement: RaterAgreement, name: str) -> MetricCell | None:
    return format_metric_cell(agreement.metrics[name], name) if name in agreement.metrics else None
