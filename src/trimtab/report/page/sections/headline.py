"""The first screen: the research question, the verdict, and the headline metric of every arm with its interval."""

from __future__ import annotations

from trimtab.metrics.judge_quality import CHANCE_RATE
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import JudgeInfo, Report, sort_arm_names
from trimtab.report.page.figures import draw_arm_differences, draw_arm_values, draw_intervals
from trimtab.report.page.sections.section import Figure, PageContents, Section
from trimtab.report.text import judge_summary
from trimtab.report.text.verdict import (
    HEADLINE_METRICS,
    build_question,
    build_verdict,
    select_headline_judge,
    select_headline_metric,
)


def build_headline_section(contents: PageContents) -> Section:
    """The question, the first sentence of the verdict as the answer, the other sentences, notes, and figures."""
    report = contents.report
    answer, *other_sentences = build_verdict(report)
    return Section(
        id="headline",
        title="",
        tab="Results",
        figures=_draw_headline_figures(report),
        template="headline",
        values={
            "study": report.study,
            "question": build_question(report),
            "answer": answer,
            "other_sentences": other_sentences,
            "notes": report.notes,
        },
    )


def draw_metric_figures(report: Report, metric: str) -> tuple[Figure, ...]:
    """The arms' values of a metric, and their paired differences to their starts. Empty figures are left out."""
    label = get_metric_info(metric).label
    figures = (
        Figure(name=f"arms-{metric}", title=f"{label}, by arm", svg=draw_arm_values(report, metric)),
        Figure(
            name=f"differences-{metric}",
            title=f"{label}, paired difference to {report.describe_baselines(metric)}",
            svg=draw_arm_differences(report, metric),
        ),
    )
    return tuple(figure for figure in figures if figure.svg)


def select_figure_metric(report: Report) -> str | None:
    """The metric that the first screen draws: the headline metric, or else the most important one that exists.

    None if the headline is a judge's win rate.
    """
    if select_headline_judge(report) is not None:
        return None
    metric = select_headline_metric(report)
    if metric is not None:
        return metric
    names = dict.fromkeys(name for arm in report.arms for name in arm.metrics)
    return next((name for name in names if name.partition(".")[0] in HEADLINE_METRICS), None)


def _draw_headline_figures(report: Report) -> tuple[Figure, ...]:
    judge, metric = select_headline_judge(report), select_figure_metric(report)
    if judge is not None:
        return _draw_win_rates(report, judge)
    return draw_metric_figures(report, metric) if metric else ()


def _draw_win_rates(report: Report, judge: JudgeInfo) -> tuple[Figure, ...]:
    """Every arm's win rate over the judge's baseline, with a line at one half."""
    arms, info = {arm.name: arm for arm in report.arms}, get_metric_info("win_rate")
    title = f"{info.label} against {judge.baseline} by judge {judge.name}"
    win_rates = [
        (arms[name], judge_summary.get_win_rate(judge, name)) for name in sort_arm_names(judge.arms) if name in arms
    ]
    svg = draw_intervals(win_rates, info, title, is_difference=False, reference_line=CHANCE_RATE)
    return (Figure(name=f"win-rates-{judge.name}", title=title, svg=svg),) if svg else ()
