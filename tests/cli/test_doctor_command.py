"""`trimtab doctor` exits with status 1 if a study cannot run, with one line per problem."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.cli import app

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_study_the_installation_is_checked() -> None:
    done = RUNNER.invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("versions\n  trimtab ")
    assert done.stdout.endswith("no problems: this installation can be used here\n")


def test_a_study_that_can_run_has_no_problems(tiny_study: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(tiny_study, encoding="utf-8")
    done = RUNNER.invoke(app, ["doctor", "study.yaml", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("no problems: study.yaml can be used here\n")


def test_every_problem_of_a_study_is_one_line(tiny_study: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(tiny_study, encoding="utf-8")
    done = RUNNER.invoke(
        app, ["doctor", "study.yaml", "data={kind: file, path: gone.jsonl}", "models.weak=no-such-model"]
    )
    assert done.exit_code == 1
    *_, count, first, second = done.stdout.splitlines()
    assert count == "2 problems: study.yaml cannot run here"
    assert first.startswith("- models.weak: no model 'no-such-model'")
    assert second.startswith("- data: gone.jsonl: no such file; relative paths start at ")
    assert second.endswith("; create the file or correct the setting")


def test_an_invalid_study_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: X\n", encoding="utf-8")
    done = RUNNER.invoke(app, ["doctor", "study.yaml"])
    assert done.exit_code == 1
    assert [line[:7] for line in done.stdout.splitlines() if line.startswith("- ")] == ["- name:", "- data:", "- model"]
