"""The first screen: what was asked, what came of it, and the arms with their intervals."""

from __future__ import annotations

from trimtab.metrics.judge_quality import CHANCE_RATE
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import JudgeInfo, Report, sort_arm_names
from trimtab.report.page.figures import draw_arm_differences, draw_arm_values, draw_intervals
from trimtab.report.page.sections.section import Figure, PageContents, Section
from trimtab.report.text import judge_summary
from trimtab.report.text.verdict import (
    BASELINE,
    HEADLINE_METRICS,
    build_question,
    build_verdict,
    select_headline_judge,
    select_headline_metric,
)


def build_headline_section(contents: PageContents) -> Section:
    """The question, the answer in one sentence, what else is to be said, and the headline metric drawn."""
    report = contents.report
    first, *others = build_verdict(report)
    figures = _draw_headline_figures(report)
    return Section(
        id="answer",
        title="",
        tab="Results",
        values={
            "study": report.study,
            "question": build_question(report),
            "answer": first,
            "others": others,
            "notes": report.notes,
            "figures": figures,
        },
        figures=figures,
    )


def draw_metric_figures(report: Report, metric: str) -> tuple[Figure, ...]:
    """A metric's arms beside their paired differences to SFT alone; what has nothing to draw is left out."""
    info = get_metric_info(metric)
    figures = (
        Figure(name=f"arms-{metric}", title=f"{info.label}, by arm", svg=draw_arm_values(report, metric)),
        Figure(
            name=f"differences-{metric}",
            title=f"{info.label}, paired difference to {BASELINE}",
            svg=draw_arm_differences(report, metric),
        ),
    )
    return tuple(each for each in figures if each.svg)


def select_drawn_metric(report: Report) -> str | None:
    """The arms' metric that the first screen draws: the one that the answer speaks of, or else the first that matters. None
    where the answer is a judge's."""
    if select_headline_judge(report) is not None:
        return None
    found = select_headline_metric(report)
    if found is not None:
        return found
    names = list(dict.fromkeys(name for arm in report.arms for name in arm.metrics))
    return next((name for name in names if name.partition(".")[0] in HEADLINE_METRICS), None)


def _draw_headline_figures(report: Report) -> tuple[Figure, ...]:
    judge, metric = select_headline_judge(report), select_drawn_metric(report)
    if judge is not None:
        return _draw_win_rates(report, judge)
    return draw_metric_figures(report, metric) if metric else ()


def _draw_win_rates(report: Report, judge: JudgeInfo) -> tuple[Figure, ...]:
    """Every row's win rate against the one that the judge compared it with, beside the line of one half."""
    arms, info = {arm.name: arm for arm in report.arms}, get_metric_info("win_rate")
    title = f"{info.label} against {judge.baseline} by judge {judge.name}"
    rows = [
        (arms[name], judge_summary.get_win_rate(judge, name)) for name in sort_arm_names(judge.arms) if name in arms
    ]
    svg = draw_intervals(rows, info, title, is_difference=False, reference_line=CHANCE_RATE)
    return (Figure(name=f"win-rates-{judge.name}", title=title, svg=svg),) if svg else ()
