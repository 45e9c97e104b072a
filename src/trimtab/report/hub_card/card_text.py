"""The parts that the cards of labels and of students share, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from trimtab.report.duration import format_duration
from trimtab.report.formatting import MetricCell, format_metric_cell
from trimtab.report.hub_card.origins import format_model_name, shorten_paths
from trimtab.report.metric_registry import get_metric_info
from trimtab.report.model import LabelInfo, Report
from trimtab.report.run_reader import Run, RunRow
from trimtab.report.table import Table, TableCell
from trimtab.types import Cost, Metric


def join_card(metadata: Mapping[str, Any], sections: Iterable[str]) -> str:
    """The card: metadata in YAML, without empty values, then the sections that are not empty."""
    values = {key: value for key, value in metadata.items() if value}
    head = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def format_notes(report: Report) -> str:
    """What readers of the card must know, as a quotation."""
    return "\n>\n".join(f"> {note}" for note in report.notes)


def format_label_source(run: Run, row: RunRow) -> str:
    """How the labels were made: the annotator, the models behind it, calibration and filter."""
    study = run.study
    later = run.index.rounds.get(row.name)
    arm = study.arms.get(row.name if later is None else later.arm)
    settings = run.artifact(run.source_stage(row.labels)).record["settings"].get("annotator", {}) if row.labels else {}
    lines = [
        f"- Annotator: `{row.annotator}`{_format_settings(settings)}",
        f"- Weak model: {format_model_name(study.models.weak)}",
        f"- Calibration: {arm.calibration.method if arm and arm.calibration else 'none'}",
        f"- Filter: `{run.filter_kind(row.labels)}`"
        if row.labels and run.filter_kind(row.labels)
        else "- Filter: none",
    ]
    return "\n".join(lines)


def format_label_quality(label: LabelInfo) -> str:
    """Agreement with human labels and coverage, with intervals, as a table."""
    if "agreement" not in label.metrics:
        return "Agreement with human labels was not measured: the labeled pool has no human labels."
    lines = [
        f"| {get_metric_info(name).label} | {_format_cell(format_metric_cell(metric, name))} |"
        for name, metric in label.metrics.items()
    ]
    return "\n".join(["| metric | value, 95% interval, n |", "|---|---|", *lines])


def format_cost(cost: Cost) -> str:
    """`12 calls, 3,400 input tokens, 120 generated tokens, 42 s`; calls and tokens only if there are any."""
    counts = {
        "calls": cost.calls,
        "input tokens": cost.prompt_tokens,
        "cached input tokens": cost.cached_tokens,
        "generated tokens": cost.generated_tokens,
    }
    return ", ".join([*(f"{count:,} {name}" for name, count in counts.items() if count), format_duration(cost.seconds)])


def format_study(report: Report) -> str:
    """The settings of the study, folded. Absolute paths are shortened to their last part."""
    settings = shorten_paths(report.study.yaml)
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`+", settings))])
    return (
        f"Study `{report.study.name}`, seed {report.study.seed}, Trimtab {report.study.version}"
        + (f": {report.study.description}" if report.study.description else "")
        + f"\n\n<details>\n<summary>All settings</summary>\n\n{fence}yaml\n{settings}{fence}\n\n</details>"
    )


def render_table_lines(table: Table) -> str:
    """A table and its legend. Rows with a message instead of cells are left out."""
    lines = [
        f"| {' | '.join([table.row_title, *(column.title for column in table.columns)])} |",
        "|---" * (len(table.columns) + 1) + "|",
        *(f"| {' | '.join([row.name, *map(_format_cell, row.cells)])} |" for row in table.rows if row.cells),
    ]
    return "\n".join([*lines, "", table.legend] if table.legend else lines)


def format_metric(metric: Metric, name: str) -> str:
    """The value, interval and sample size of a metric."""
    return _format_cell(format_metric_cell(metric, name))


def format_license(license_id: str, terms: str) -> str:
    """The license, and the terms of a model that extend to what was made with it."""
    stated = "The license is not known." if license_id == "unknown" else f"`{license_id}`."
    return f"{stated} {terms}".strip()


def _format_cell(cell: TableCell) -> str:
    if not isinstance(cell, MetricCell):
        return cell or ""
    size = f"({cell.sample_size})" if cell.sample_size else ""
    return " ".join(part for part in (cell.value, cell.interval, cell.mark, size) if part)


def _format_settings(settings: Any) -> str:
    """The settings of an annotator as ` (beta: 0.1)`; components within it by their kinds."""
    if not isinstance(settings, Mapping):
        return ""
    values = {key: value for key, value in settings.items() if key != "kind" and isinstance(value, str | int | float)}
    return f" ({', '.join(f'{key}: {value}' for key, value in values.items())})" if values else ""
