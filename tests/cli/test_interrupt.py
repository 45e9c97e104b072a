"""Ctrl+C stops a command with a message that says how to resume."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

# A test run in the background ignores the signal, and its children inherit that.
CODE = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from trimtab.cli import main
main()
"""


def test_a_stopped_command_says_how_to_resume(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, "work", str(tmp_path), "--wait", "300"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline()  # that it waits
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "stopped; run the same command to resume" in errors
    assert "Traceback" not in errors
    assert process.returncode == 130
