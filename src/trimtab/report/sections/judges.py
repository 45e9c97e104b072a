"""What judges say of each row's answers, and how far they agree with one another and with people."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report.cells import Cell, cell
from trimtab.report.duration import duration
from trimtab.report.judges import OUTCOMES, JudgeInfo, RaterAgreement
from trimtab.report.metrics import MetricInfo, metric_info
from trimtab.report.model import arm_order
from trimtab.report.sections.section import Contents, Section

COLUMNS = ("win_rate", "length_controlled_win_rate", "order_flips")
MEASURES = ("kappa", "alpha")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeView:
    """One judge: its own figures, and for each row the counts of outcomes and its figures, in the order of `COLUMNS`."""

    info: JudgeInfo
    figures: list[tuple[MetricInfo, Cell]]
    rows: list[tuple[str, list[int], list[Cell]]]


def judges(contents: Contents) -> Section | None:
    """An article for each judge, and a table of agreement."""
    report = contents.report
    if not report.judges:
        return None
    names = [name for each in report.judges for name in each.figures]
    values = {
        "judges": [_view(each) for each in report.judges],
        "outcomes": OUTCOMES,
        "columns": [metric_info(name) for name in COLUMNS],
        "agreements": [_agreement(each) for each in report.rater_agreements],
        "measures": [metric_info(name) for name in MEASURES],
        "duration": duration,
    }
    return Section(
        id="judges",
        title="Judges",
        tab="Students",
        values=values,
        metrics=(*COLUMNS, *names, *(MEASURES if names else ())),
    )


def _view(info: JudgeInfo) -> JudgeView:
    return JudgeView(
        info=info,
        figures=[(metric_info(name), cell(figure, name)) for name, figure in info.figures.items()],
        rows=[
            (
                name,
                [info.rows[name].counts.get(outcome, 0) for outcome in OUTCOMES],
                [cell(info.rows[name].figures[column], column) for column in COLUMNS],
            )
            for name in arm_order(info.rows)
        ],
    )


def _agreement(each: RaterAgreement) -> tuple[RaterAgreement, list[Cell | None]]:
    return each, [cell(each.figures[name], name) if name in each.figures else None for name in MEASURES]
