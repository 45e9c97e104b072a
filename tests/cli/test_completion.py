"""The shell completes kinds, arms, variants and run folders where an argument takes them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.core.component_loading import list_kinds
from trimtab.pipeline.run_index import RowIndex, RunIndex

VARIANTS = "name: betas\nvariants: {low: {}, high: {}}\n"
BASH = "complete_bash"


def complete(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, shell: str = BASH) -> list[str]:
    """What the shell offers for the last word of a line, which may be empty."""
    words = shlex.split(line.removesuffix(" "))
    monkeypatch.chdir(folder)
    position = len(words) if line.endswith(" ") else len(words) - 1
    environment = {"_TRIMTAB_COMPLETE": shell, "COMP_WORDS": line, "COMP_CWORD": str(position)}
    return CliRunner().invoke(app, prog_name="trimtab", env=environment).stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("runs/first", "runs/second", "runs/betas/low", "runs/betas/high"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "betas.yaml").write_text(VARIANTS, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("trimtab schem", ["schema"]),
        ("trimtab annotate pairs.jsonl --annotator noisy", ["noisy_human"]),
        ("trimtab annotate pairs.jsonl --filter unc", ["uncertainty"]),
        ("trimtab audit pairs.jsonl --annotator ", list_kinds("annotators")),
        ("trimtab list jud", ["judges"]),
        ("trimtab list judges p", ["pairwise"]),
        ("trimtab list studies q", ["quickstart"]),
        ("trimtab list nothing p", []),
        ("trimtab show ", ["runs/betas/high", "runs/betas/low", "runs/first", "runs/second"]),
        ("trimtab compare runs/first runs/s", ["runs/second"]),
        ("trimtab annotate pairs.jsonl --models-from runs/b", ["runs/betas/high", "runs/betas/low"]),
        ("trimtab run betas.yaml --variant ", ["low", "high"]),
        ("trimtab plan betas.yaml --variant l", ["low"]),
        ("trimtab plan none.yaml --variant l", []),
        ("trimtab show runs/first --arm ", []),
        ("trimtab export runs/first --format l", ["llama-factory"]),
    ],
)
def test_the_shell_offers(line: str, offered: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(line, folder, monkeypatch) == offered


def test_the_arms_of_a_run_are_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        RowIndex(name="base"),
        RowIndex(name="weak", labels="annotate-1"),
        RowIndex(name="flipped", labels="annotate-2"),
    )
    RunIndex(trimtab_version="0", study="first", split="split-1", rows=rows).save(folder / "runs" / "first")
    assert complete("trimtab show runs/first --arm ", folder, monkeypatch) == ["weak", "flipped"]
    assert complete("trimtab export runs/first --arm fl", folder, monkeypatch) == ["flipped"]


def test_the_installed_completion_works_in_bash(folder: Path) -> None:
    """Sources the file that `--install-completion` writes, and calls the function that it registers."""
    home = folder / "home"
    home.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(home), "PATH": path, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    install = ["trimtab", "--install-completion", "bash"]
    done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    script = (
        f"source {home}/.bash_completions/trimtab.sh; COMP_WORDS=(trimtab show runs/f); COMP_CWORD=2; "
        "$(complete -p trimtab | sed 's/.*-F //; s/ .*//') trimtab; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["runs/first"], done.stderr
