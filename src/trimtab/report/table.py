"""Tables as values. The terminal renderer is here; the HTML renderer is the macro `table` in `templates/table.html.j2`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from trimtab.report.formatting import MetricCell

TableCell = MetricCell | str | None

# Longer row names fold in a terminal.
_MAX_NAME_WIDTH = 22
# Characters that a terminal table adds to each column, and to the whole line.
_COLUMN_PADDING, _EDGES = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column heading. `numeric` aligns right; `keep_with_previous` keeps both columns in one block of a narrow terminal."""

    title: str
    numeric: bool = False
    keep_with_previous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A row with one cell per column, or with a `message` instead of cells.

    `note` is small text under the name. `description` is the same on the page only. `is_reference` rows are less prominent.
    """

    name: str
    cells: tuple[TableCell, ...] = ()
    note: str = ""
    description: str = ""
    message: str = ""
    is_reference: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`title` is the heading in a terminal and the accessible name on the page; `row_title` heads the column of row names.
    `legend` is a line below the table."""

    title: str
    row_title: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    legend: str = ""


def render_terminal_table(table: Table) -> RenderableType:
    """The table for a terminal. A table wider than the terminal is split into blocks of columns below each other."""
    parts: list[RenderableType] = [Text(table.title, style="bold")] if table.title else []
    parts.append(_TerminalBlocks(table))
    parts += [Text(f"{row.name}: {row.message}", style="dim") for row in table.rows if row.message]
    parts += [Text(table.legend, style="dim")] if table.legend else []
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class _TerminalBlocks:
    """Renders itself at the width of the console."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for block in _split_columns(self.table, options.max_width):
            yield _build_rich_table(self.table, block)


def _split_columns(table: Table, width: int) -> Iterator[list[int]]:
    """Column indices, in blocks that fit the width. Columns that belong together are separated only if they do not fit."""
    available = width - _EDGES - min(_MAX_NAME_WIDTH, _name_width(table))
    widths = [_column_width(table, index) + _COLUMN_PADDING for index in range(len(table.columns))]
    groups: list[list[int]] = []
    for index, column in enumerate(table.columns):
        if column.keep_with_previous and groups and sum(widths[i] for i in (*groups[-1], index)) <= available:
            groups[-1].append(index)
        else:
            groups.append([index])
    block: list[int] = []
    for group in groups:
        if block and sum(widths[index] for index in (*block, *group)) > available:
            yield block
            block = []
        block = [*block, *group]
    if block:
        yield block


def _name_width(table: Table) -> int:
    return max(len(text) for row in table.rows for text in (table.row_title, row.name, row.note))


def _column_width(table: Table, index: int) -> int:
    common_size = _common_sample_size(table, index)
    cells = (_format_cell(row.cells[index], common_size).plain for row in _rows_with_cells(table))
    return max(len(line) for text in (_format_heading(table, index), *cells) for line in text.split("\n"))


def _rows_with_cells(table: Table) -> list[TableRow]:
    return [row for row in table.rows if not row.message]


def _common_sample_size(table: Table, index: int) -> str:
    """The most common sample size in a column, which is in its heading. Cells with another one have a second line."""
    cells = (row.cells[index] for row in _rows_with_cells(table))
    sizes = Counter(cell.sample_size for cell in cells if isinstance(cell, MetricCell))
    return sizes.most_common(1)[0][0] if sizes else ""


def _format_heading(table: Table, index: int) -> str:
    size = _common_sample_size(table, index)
    return table.columns[index].title + (f"\n{size}" if size else "")


def _build_rich_table(table: Table, block: Sequence[int]) -> RichTable:
    """Rows without a cell in this block are left out. Row names fold if the terminal is narrow; numbers never do."""
    rich_table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    rich_table.add_column(Text(table.row_title), overflow="fold")
    for index in block:
        justify: Literal["left", "right"] = "right" if table.columns[index].numeric else "left"
        rich_table.add_column(Text(_format_heading(table, index)), no_wrap=True, justify=justify)
    common_sizes = {index: _common_sample_size(table, index) for index in block}
    for row in _rows_with_cells(table):
        if any(row.cells[index] is not None for index in block):
            cells = (_format_cell(row.cells[index], common_sizes[index]) for index in block)
            rich_table.add_row(_format_name(row), *cells)
    return rich_table


def _format_name(row: TableRow) -> Text:
    name = Text(row.name, style="dim" if row.is_reference else "bold")
    return name.append(f"\n{row.note}", style="not bold dim") if row.note else name


def _format_cell(cell: TableCell, common_size: str) -> Text:
    if cell is None or isinstance(cell, str):
        return Text(cell or "")
    text = Text.assemble(cell.value, " " if cell.interval else "", (cell.interval, "dim"))
    if cell.mark:
        text.append(f" {cell.mark}")
    if cell.sample_size not in ("", common_size):
        text.append(f"\n{cell.sample_size}", style="dim")
    return text
