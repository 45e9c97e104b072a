"""Notices in the terminal."""

from __future__ import annotations

import io

from rich.console import Console

from trimtab.cli.progress import RichProgress


def test_a_notice_is_printed_once() -> None:
    console = Console(file=io.StringIO(), width=80)
    progress = RichProgress(console)
    for message in ("one", "two", "one"):
        progress.notify(message)
    assert console.file.getvalue() == "  one\n  two\n"  # type: ignore[attr-defined]
