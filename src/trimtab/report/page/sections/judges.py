"""What judges say of each row's answers, and how far they agree with one another and with people."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.metrics.judge_quality import OUTCOMES, RaterAgreement
from trimtab.report.duration import format_duration
from trimtab.report.formatting import MetricCell, format_metric_cell
from trimtab.report.metric_registry import MetricInfo, get_metric_info
from trimtab.report.model import JudgeInfo, sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section

ARM_METRICS = ("win_rate", "length_controlled_win_rate", "order_flips")
AGREEMENT_METRICS = ("kappa", "alpha")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeView:
    """One judge: its own figures, and for each row the counts of outcomes and its figures, in the order of `COLUMNS`."""

    info: JudgeInfo
    metrics: list[tuple[MetricInfo, MetricCell]]
    arms: list[tuple[str, list[int], list[MetricCell]]]


def build_judges_section(contents: PageContents) -> Section | None:
    """An article for each judge, and a table of agreement."""
    report = contents.report
    if not report.judges:
        return None
    names = [name for each in report.judges for name in each.metrics]
    values = {
        "judges": [_build_judge_view(each) for each in report.judges],
        "outcomes": OUTCOMES,
        "columns": [get_metric_info(name) for name in ARM_METRICS],
        "agreements": [_build_agreement_cells(each) for each in report.rater_agreements],
        "measures": [get_metric_info(name) for name in AGREEMENT_METRICS],
        "duration": format_duration,
    }
    return Section(
        id="judges",
        title="Judges",
        tab="Students",
        values=values,
        metrics=(*ARM_METRICS, *names, *(AGREEMENT_METRICS if names else ())),
    )


def _build_judge_view(info: JudgeInfo) -> JudgeView:
    return JudgeView(
        info=info,
        metrics=[(get_metric_info(name), format_metric_cell(figure, name)) for name, figure in info.metrics.items()],
        arms=[
            (
                name,
                [info.arms[name].counts.get(outcome, 0) for outcome in OUTCOMES],
                [format_metric_cell(info.arms[name].metrics[column], column) for column in ARM_METRICS],
            )
            for name in sort_arm_names(info.arms)
        ],
    )


def _build_agreement_cells(each: RaterAgreement) -> tuple[RaterAgreement, list[MetricCell | None]]:
    return each, [
        format_metric_cell(each.metrics[name], name) if name in each.metrics else None for name in AGREEMENT_METRICS
    ]
