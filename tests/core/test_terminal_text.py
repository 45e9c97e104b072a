"""No text of data or servers reaches the terminal as a control code."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from trimtab.cli.terminal import err, out
from trimtab.core.plain_text import render_plain_text
from trimtab.core.terminal_text import SafeConsole, show_control_codes

HOSTILE = "a\x1b[31mb\x1b]0;title\x07c\x9b2Jd\x7fe\x08f\u202eg\ud800h\x00i"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
OWN_CODE = re.compile(r"\x1b\[[0-9;]*m")


def test_control_codes_become_symbols_and_other_text_is_unchanged() -> None:
    assert show_control_codes("a\x1b[2J\x7f\x9b\u202e\ud800") == "a␛[2J␡���"
    assert show_control_codes("é\t中\nשלום 😀\u200d\u2028") == "é\t中\nשלום 😀\u200d\u2028"


@pytest.mark.parametrize("color", [True, False])
def test_whatever_is_printed_contains_no_codes_but_styles(color: bool) -> None:
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=color, color_system="truecolor" if color else None, width=60)
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    tree = Tree(Text(HOSTILE, style="bold"))
    tree.add(HOSTILE)
    for item in (HOSTILE, Text(HOSTILE), table, tree, Panel(HOSTILE), Group(HOSTILE, Padding(HOSTILE, 2))):
        console.print(item, markup=False)
        console.print(item, markup=False, soft_wrap=True, highlight=False, style="bold red")
    printed = OWN_CODE.sub("", file.getvalue())
    assert CONTROL.search(printed) is None
    assert "a␛[31mb" in printed
    assert ("\x1b[" in file.getvalue()) == color


def test_progress_bars_contain_no_codes_of_their_label() -> None:
    file = io.StringIO()
    with Progress(console=SafeConsole(file=file, force_terminal=True, width=80)) as progress:
        progress.add_task("x\x1b]0;title\x07", total=1)
    assert "\x1b]" not in file.getvalue()
    assert "x␛]0;" in file.getvalue()


def test_plain_text_contains_no_codes() -> None:
    assert CONTROL.search(render_plain_text(Text(HOSTILE))) is None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_that_the_terminal_cannot_encode_are_replaced(encoding: str) -> None:
    raw = io.BytesIO()
    console = SafeConsole(file=io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    console.print("é 中 \ud800", highlight=False)
    assert (
        raw.getvalue().decode(encoding).strip() == {"ascii": "? ? ?", "latin-1": "é ? ?", "utf-8": "é 中 �"}[encoding]
    )


def test_both_streams_of_the_command_line_are_safe() -> None:
    assert {type(out), type(err)} == {SafeConsole}


def test_no_other_console_prints() -> None:
    package = Path(sys.modules["trimtab"].__file__ or "").parent
    makers = [
        path.name for path in package.rglob("*.py") if re.search(r"(?<!Safe)Console\((?!file=io\.)", path.read_text())
    ]
    assert makers == []
    assert isinstance(SafeConsole(), Console)


def test_an_error_about_a_hostile_file_name_is_safe(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trimtab", "run", str(tmp_path / "a\x1b]0;title\x07.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "300"})
    assert done.returncode != 0
    assert CONTROL.search(done.stderr + done.stdout) is None
