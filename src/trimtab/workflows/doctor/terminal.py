"""Renders what `trimtab doctor` found for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.workflows.doctor.findings import FactGroup, Findings

_MAX_NAME_WIDTH = 46


def render_findings(found: Findings) -> RenderableType:
    """Sections of names and values. Long values continue below their start."""
    return Group(*(part for section in found.sections for part in _render_section(section)))


def _render_section(section: FactGroup) -> tuple[RenderableType, ...]:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=0)
    width = min(_MAX_NAME_WIDTH, max(len(name) for name, _ in section.facts))
    table.add_column(width=width, overflow="fold")
    table.add_column(overflow="fold")
    for name, value in section.facts:
        table.add_row("", Text(name), Text(value))
    return Text(section.title, style="bold"), table, Text("")
