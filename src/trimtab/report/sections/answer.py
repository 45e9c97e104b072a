"""The first screen: what was asked, what came of it, and the arms with their intervals."""

from __future__ import annotations

from trimtab.report import rulings
from trimtab.report.figures import arms_figure, differences_figure, whiskers
from trimtab.report.judges import COIN, JudgeInfo
from trimtab.report.metrics import metric_info
from trimtab.report.model import Report, arm_order
from trimtab.report.sections.section import Contents, Figure, Section
from trimtab.report.verdict import (
    BASELINE,
    HEADLINES,
    headline_judge,
    headline_metric,
    question,
    verdict,
)


def answer(contents: Contents) -> Section:
    """The question, the answer in one sentence, what else is to be said, and the headline metric drawn."""
    report = contents.report
    first, *others = verdict(report)
    figures = _figures(report)
    return Section(
        id="answer",
        title="",
        tab="Results",
        values={
            "study": report.study,
            "question": question(report),
            "answer": first,
            "others": others,
            "notes": report.notes,
            "figures": figures,
        },
        figures=figures,
    )


def drawn(report: Report, metric: str) -> tuple[Figure, ...]:
    """A metric's arms beside their paired differences to SFT alone; what has nothing to draw is left out."""
    info = metric_info(metric)
    figures = (
        Figure(name=f"arms-{metric}", title=f"{info.label}, by arm", svg=arms_figure(report, metric)),
        Figure(
            name=f"differences-{metric}",
            title=f"{info.label}, paired difference to {BASELINE}",
            svg=differences_figure(report, metric),
        ),
    )
    return tuple(each for each in figures if each.svg)


def headline(report: Report) -> str | None:
    """The arms' metric that the first screen draws: the one that the answer speaks of, or else the first that matters. None
    where the answer is a judge's."""
    if headline_judge(report) is not None:
        return None
    found = headline_metric(report)
    if found is not None:
        return found
    names = list(dict.fromkeys(name for arm in report.arms for name in arm.metrics))
    return next((name for name in names if name.partition(".")[0] in HEADLINES), None)


def _figures(report: Report) -> tuple[Figure, ...]:
    judge, metric = headline_judge(report), headline(report)
    if judge is not None:
        return _rates(report, judge)
    return drawn(report, metric) if metric else ()


def _rates(report: Report, judge: JudgeInfo) -> tuple[Figure, ...]:
    """Every row's win rate against the one that the judge compared it with, beside the line of one half."""
    arms, info = {arm.name: arm for arm in report.arms}, metric_info("win_rate")
    title = f"{info.label} against {judge.against} by judge {judge.name}"
    rows = [(arms[name], rulings.rate(judge, name)) for name in arm_order(judge.rows) if name in arms]
    svg = whiskers(rows, info, title, zero=False, line=COIN)
    return (Figure(name=f"win-rates-{judge.name}", title=title, svg=svg),) if svg else ()
