"""Temporary folders are deleted at the end, or by the next process if theirs was killed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.storage.temporary_folders import create_temporary_folder

PREFIX = "trimtab-test-"
HOLD = (
    "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
    "from trimtab.storage.temporary_folders import create_temporary_folder\n"
    f"with create_temporary_folder({PREFIX!r}) as folder:\n"
    "    (folder / 'weights').write_text('x')\n"
    "    print(folder, flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def process(temporary_files: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a temporary folder, whose path is the first line of its output."""
    command = [sys.executable, "-c", HOLD, str(temporary_files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def read_folder(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_the_folder_is_deleted_at_the_end_and_after_an_error(temporary_files: Path) -> None:
    with pytest.raises(ValueError, match="full"), create_temporary_folder(PREFIX) as folder:
        (folder / "weights").write_text("x")
        raise ValueError("full")
    assert list(temporary_files.iterdir()) == []


def test_the_folder_of_a_running_process_stays(process: subprocess.Popen[str]) -> None:
    used = read_folder(process)
    with create_temporary_folder(PREFIX) as folder:
        assert folder != used
    assert (used / "weights").read_text() == "x"


def test_the_folder_of_a_killed_process_is_deleted(process: subprocess.Popen[str], temporary_files: Path) -> None:
    left = read_folder(process)
    other = temporary_files / "another-program"
    other.mkdir()
    process.kill()
    process.wait()
    assert left.exists()
    with create_temporary_folder(PREFIX):
        assert not left.exists()
    assert list(temporary_files.iterdir()) == [other]
