"""The tables of a paper next to those of runs, in a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trimtab.errors import StudyError
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.paper_comparison.published import (
    DifferenceNumber,
    Expectation,
    PublishedNumber,
    PublishedPaper,
    PublishedTable,
)
from trimtab.report.paper_comparison.quantities import Quantity, compute_quantity, compute_row_gain
from trimtab.report.paper_comparison.runs import StudyRuns, group_runs
from trimtab.report.run_reader import Run
from trimtab.report.table import Column, Table, TableRow
from trimtab.report.value_format import format_value
from trimtab.types import Metric

AgreementVerdict = Literal["yes", "no", "undecided", ""]
LEGEND = (
    "Agrees: yes if the whole 95% interval is as the paper states, no if the whole interval is not, else undecided. Rewards of "
    "different scorers have different units, so only their signs are compared."
)
_COLUMNS = ("paper", "run", "n", "agrees")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedNumber:
    """A published number, the run's value, and whether they agree; the verdict is empty if the paper states nothing."""

    number: PublishedNumber
    quantity: Quantity
    verdict: AgreementVerdict = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTable:
    """A table of the paper with the runs' values. `variants` are the study's variants that have a run."""

    published: PublishedTable
    numbers: tuple[ComparedNumber, ...]
    variants: tuple[str, ...]


def compare_with_paper(paper: PublishedPaper, runs: Sequence[Run]) -> list[ComparedTable]:
    """The tables whose study has a run, in the paper's order."""
    compared = []
    for table in paper.tables:
        study_runs = group_runs(table.study, runs)
        if study_runs.by_variant:
            numbers = tuple(_compare_number(number, study_runs) for number in table.numbers)
            compared.append(ComparedTable(published=table, numbers=numbers, variants=tuple(study_runs.by_variant)))
    return compared


def list_missing_studies(paper: PublishedPaper, runs: Sequence[Run]) -> list[str]:
    """The studies without a run. Raises `StudyError` if none of the paper's studies has one."""
    studies = list(dict.fromkeys(table.study for table in paper.tables))
    missing = [study for study in studies if not group_runs(study, runs).by_variant]
    if len(missing) == len(studies):
        names = ", ".join(run.study.name for run in runs)
        raise StudyError(f"none of the runs is of a study of this paper: {names} (expected: {', '.join(studies)})")
    return missing


def build_paper_table(compared: ComparedTable) -> Table:
    """A row per number: the paper's, the run's with its interval, n, and whether they agree."""
    rows = [TableRow(name=each.number.name, cells=_format_cells(each)) for each in compared.numbers]
    variants = ", ".join(variant for variant in compared.variants if variant)
    note = [compared.published.note, f"Variants with a run: {variants}." if variants else ""]
    return Table(
        title=f"{compared.published.title} ({compared.published.place})",
        row_title="",
        columns=tuple(Column(title=title) for title in _COLUMNS),
        rows=tuple(rows),
        legend=" ".join(filter(None, note)),
    )


def render_markdown_table(table: Table) -> str:
    """A heading, the table, and its legend."""
    lines = [
        f"**{table.title}**\n",
        f"| {table.row_title} | {' | '.join(column.title for column in table.columns)} |",
        "|" + "---|" * (len(table.columns) + 1),
        *(f"| {row.name} | {' | '.join(map(str, row.cells))} |" for row in table.rows),
    ]
    return "\n".join([*lines, f"\n{table.legend}"] if table.legend else lines)


def judge_expectation(expect: Expectation, metric: Metric, share_of: Metric | None = None) -> AgreementVerdict:
    """Whether the whole interval is as expected. `share_of` is the difference of the two rows that it names."""
    if metric.low is None or metric.high is None:
        return "undecided"
    low, high = _expected_range(expect, share_of)
    if low is None and high is None:
        return "undecided"
    above_low = low is None or metric.low > low
    below_high = high is None or metric.high < high
    if above_low and below_high:
        return "yes"
    outside = (high is not None and metric.low > high) or (low is not None and metric.high < low)
    return "no" if outside else "undecided"


def _expected_range(expect: Expectation, share_of: Metric | None) -> tuple[float | None, float | None]:
    if expect.between is not None:
        return expect.between
    low, high = (expect.above, expect.below) if expect.within is None else (-expect.within, expect.within)
    if expect.share_of is None:
        return low, high
    if share_of is None or share_of.value is None:
        return None, None
    unit = abs(share_of.value)
    return (None if low is None else low * unit), (None if high is None else high * unit)


def _compare_number(number: PublishedNumber, runs: StudyRuns) -> ComparedNumber:
    quantity = compute_quantity(number, runs)
    expect = number.expect or _expected_sign(number)
    if quantity.metric is None or expect is None:
        return ComparedNumber(number=number, quantity=quantity)
    share_of = None
    if expect.share_of is not None:
        share_of = compute_row_gain(number, runs, expect.share_of).metric
    return ComparedNumber(
        number=number, quantity=quantity, verdict=judge_expectation(expect, quantity.metric, share_of)
    )


def _expected_sign(number: PublishedNumber) -> Expectation | None:
    """A difference is expected to have the sign of the paper's."""
    if not isinstance(number, DifferenceNumber) or not number.paper:
        return None
    return Expectation(above=0.0) if number.paper > 0 else Expectation(below=0.0)


def _format_cells(each: ComparedNumber) -> tuple[str, str, str, str]:
    signed = getattr(each.number, "minus", None) is not None
    paper = "–" if each.number.paper is None else f"{each.number.paper:{'+' if signed else ''}g}".replace("-", "−")
    metric = each.quantity.metric
    if metric is None:
        return paper, each.quantity.missing, "", ""
    info = get_metric_info(str(getattr(each.number, "metric", "")))
    value = " ".join(filter(None, format_value(metric, info, signed=signed)))
    return paper, value, f"{metric.n:,}", each.verdict
