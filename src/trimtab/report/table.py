"""Tables as values. The terminal renderer is here; the HTML renderer is the macro `table` in `templates/table.html.j2`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from trimtab.report.formatting import MetricCell

TableCell = MetricCell | str | None

# Longer row names fold in a terminal.
_MAX_NAME_WIDTH = 24
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
    """Column indices, in blocks that fit the width."""
    groups: list[list[int]] = []
    for index, column in enumerate(table.columns):
        if column.keep_with_previous and groups:
            groups[-1].append(index)
        else:
            groups.append([index])
    available = width - _EDGES - min(_MAX_NAME_WIDTH, _name_width(table))
    block: list[int] = []
    used = 0
    for group in groups:
        group_width = sum(_column_width(table, index) + _COLUMN_PADDING for index in group)
        if block and used + group_width > available:
            yield block
            block, used = [], 0
        block, used = [*block, *group], used + group_width
    if block:
        yield block


def _name_width(table: Table) -> int:
    return max(len(text) for text in (table.row_title, *(row.name for row in table.rows), *(r.note for r in table.rows)))


def _column_width(table: Table, index: int) -> int:
    heading = _format_heading(table, index)
    cells = [_format_cell(row.cells[index], "" if _shared_sample_size(table, index) else None) for row in _filled(table)]
    return max(len(line) for text in (heading, *(cell.plain for cell in cells)) for line in text.split("\n"))


def _filled(table: Table) -> list[TableRow]:
    return [row for row in table.rows if not row.message]


def _shared_sample_size(table: Table, index: int) -> str:
    """The sample size that all cells of a column have in common; empty if they differ."""
    sizes = {cell.sample_size for row in _filled(table) if isinstance(cell := row.cells[index], MetricCell)}
    return sizes.pop() if len(sizes) == 1 else ""


def _format_heading(table: Table, index: int) -> str:
    size = _shared_sample_size(table, index)
    return table.columns[index].title + (f"\n{size}" if size else "")


def _build_rich_table(table: Table, block: Sequence[int]) -> RichTable:
    """Rows without a cell in this block are left out. Row names fold if the terminal is narrow; numbers never do."""
    rich_table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    rich_table.add_column(Text(table.row_title), overflow="fold")
    for index in block:
        justify = "right" if table.columns[index].numeric else "left"
        rich_table.add_column(Text(_format_heading(table, index)), no_wrap=True, justify=justify)  # type: ignore[arg-type]
    for row in _filled(table):
        if any(row.cells[index] is not None for index in block):
            cells = [_format_cell(row.cells[i], "" if _shared_sample_size(table, i) else None) for i in block]
            rich_table.add_row(_format_name(row), *cells)
    return rich_table


def _format_name(row: TableRow) -> Text:
    name = Text(row.name, style="dim" if row.is_reference else "bold")
    return name.append(f"\n{row.note}", style="not bold dim") if row.note else name


def _format_cell(cell: TableCell, sample_size: str | None) -> Text:
    """`sample_size` is the second line; None means the cell's own."""
    if cell is None or isinstance(cell, str):
        return Text(cell or "")
    text = Text.assemble(cell.value, " " if cell.interval else "", (cell.interval, "dim"))
    if cell.mark:
        text.append(f" {cell.mark}")
    second_line = cell.sample_size if sample_size is None else sample_size
    return text.append(f"\n{second_line}", style="dim") if second_line else text
