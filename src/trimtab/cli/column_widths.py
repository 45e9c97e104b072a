"""Column widths of a table that breaks words only if the terminal is too narrow for them."""

from __future__ import annotations

from collections.abc import Sequence

_MIN_WIDTH = 8


def compute_column_widths(rows: Sequence[Sequence[str]], available: int) -> list[int]:
    """The width of each column, with a sum of at most `available` characters if each column can have eight.

    Every column has room for its longest word, and the first column for its longest cell. The rest of the room goes to the
    columns whose longest cell has the most lines.
    """
    columns = list(zip(*rows, strict=True))
    full = [max(map(len, column)) for column in columns]
    widths = [max((len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    widths[0] = full[0]
    while sum(widths) < available and (growing := [i for i, width in enumerate(widths) if width < full[i]]):
        widths[max(growing, key=lambda i: full[i] / widths[i])] += 1
    while sum(widths) > available and (shrinking := [i for i, width in enumerate(widths) if width > _MIN_WIDTH]):
        widths[max(shrinking, key=lambda i: (i > 0, widths[i]))] -= 1
    return widths
