"""The first screen: what was asked, what came of it, and the arms with their intervals."""

from __future__ import annotations

from trimtab.report.figures import arms_figure, differences_figure
from trimtab.report.metrics import metric_info
from trimtab.report.model import Report
from trimtab.report.sections.section import Contents, Figure, Section
from trimtab.report.verdict import BASELINE, headline_metric, question, verdict


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
    """The metric that the first screen draws: the one that the answer speaks of, or else the first that matters."""
    found = headline_metric(report)
    if found is not None:
        return found
    names = list(dict.fromkeys(name for arm in report.arms for name in arm.metrics))
    return next((name for name in names if name.partition(".")[0] in ("gold_reward", "proxy_reward", "accuracy")), None)


def _figures(report: Report) -> tuple[Figure, ...]:
    metric = headline(report)
    return drawn(report, metric) if metric else ()
