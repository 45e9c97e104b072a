"""Progress bars and notices in a terminal or notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trimtab.core.runtime import ProgressTick


class RichProgress:
    """Shows progress bars in a terminal or notebook; elsewhere prints one line when a step starts.

    A notice is printed once, however many steps repeat it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._printed_notices = set[str]()

    @contextmanager
    def __call__(self, label: str, total: int, unit: str) -> Iterator[ProgressTick]:
        if not (self.console.is_terminal or self.console.is_jupyter):
            self.console.print(f"  {label} ({total} {unit})", highlight=False, markup=False)
            yield _ignore_progress
            return
        columns = (
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(unit, markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(label, total=total)
            yield lambda done=1: progress.update(task, advance=done)

    def notify(self, message: str) -> None:
        if message not in self._printed_notices:
            self._printed_notices.add(message)
            self.console.print(f"  {message}", style="yellow", highlight=False, markup=False)


def _ignore_progress(done: int = 1) -> None:
    del done
