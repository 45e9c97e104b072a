"""The command line says what it did, and of what is wrong: where, what was found, and what would be right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.cli import app, main

PAIRS = [
    {"prompt": "Say one.", "chosen": "one, gladly", "rejected": "no"},
    {"prompt": "Say two.", "chosen": "two", "rejected": "no, never at all"},
]
HELP = {
    "quickstart": ("--out DIR", "--device", "--token-budget"),
    "run": ("STUDY.yaml", "KEY=VALUE", "--out DIR", "--device", "--token-budget", "--trainer KEY=VALUE"),
    "plan": ("STUDY.yaml", "KEY=VALUE", "--out DIR"),
    "annotate": (
        "PAIRS",
        "KEY=VALUE",
        "--with KIND",
        "--run DIR",
        "--set KEY=VALUE",
        "--fit FILE",
        "--max-tokens N",
        "--out FILE",
        "--device",
        "--token-budget",
    ),
    "audit": (
        "LABELED",
        "--with KIND",
        "--set KEY=VALUE",
        "--fit FILE",
        "--fit-limit N",
        "--max-tokens N",
        "--unlabeled PAIRS",
        "--json FILE",
    ),
    "report": ("DIR",),
    "compare": ("studies side by side", "paired differences", "--out"),
    "show": ("DIR", "PAIR", "--arm NAME", "--text", "--no-text"),
    "export": ("DIR", "--arm", "--format", "--out PATH"),
    "agree": ("A", "B", "--by WHAT", "--pairs FILE", "--json FILE"),
    "list": ("WHAT", "NAME", "annotators, filters, engines, sources, scorers, judges, models, losses or studies"),
}
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def trimtab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process: its exit status, its output and its error stream."""

    def command(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trimtab", *map(str, words)])
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        else:
            code = 0
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def study(tiny_study: str, tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(tiny_study, encoding="utf-8")
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PAIRS), encoding="utf-8")
    return path


@pytest.mark.parametrize("command", HELP)
def test_help_names_every_argument_of_a_command(command: str) -> None:
    told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    assert told.exit_code == 0
    text = " ".join(told.output.split())
    assert [word for word in HELP[command] if word not in text] == []


def test_every_command_is_told_whole_on_one_line_of_eighty_columns() -> None:
    lines = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output.splitlines()
    commands = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in commands] == list(HELP)
    assert [line for line in commands if line.endswith("...") or len(line) > 80] == []


def test_the_module_is_the_command_and_an_error_has_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trimtab", "plan", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path / 'none.yaml'}: No such file or directory; a study is a YAML file\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.dpo.btea=1", "training.dpo.btea: there is no such setting; did you mean 'beta'? (there are: "),
        ("training.dpo.beta=high", "training.dpo.beta: expected a number, got 'high'"),
        ("training.dpo.beta=-1", "training.dpo.beta: must be greater than 0, got -1"),
        ("prompts=many", "prompts: expected a whole number, got 'many'"),
        ("data.kind=startr", "data.kind: no 'startr' among the sources (there are: file, hub, starter, "),
        ("evaluation.gold=chequer", "evaluation.gold.kind: no 'chequer' among the scorers and judges (there are: "),
        ("arms.x.annotator={kind: flip, like: y}", "arms.x.annotator: there is no arm 'y' (there are: human, weak,"),
        ("models.student=smollm2-135m", "no model 'smollm2-135m': it is not a short name (available: "),
        ("beta", "'beta': a change is written key=value or key.sub=value"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(
    trimtab: Command, study: Path, tmp_path: Path, change: str, message: str
) -> None:
    code, output, error = trimtab("plan", study, change, "--out", tmp_path / "run")
    assert (code, output) == (1, "")
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report", "nowhere"), "nowhere holds no finished run (no run.json); run the study first: trimtab run"),
        (("show", "nowhere"), "nowhere holds no finished run"),
        (("show", "nowhere", "3f9c"), "nowhere holds no finished run"),
        (("export", "nowhere"), "nowhere holds no finished run"),
        (("export", "nowhere", "--format", "csv"), "--format: must be trl or model, got 'csv'"),
        (("annotate", "nowhere.jsonl", "--with", "longest"), "nowhere.jsonl: no such file"),
        (("annotate", "p.jsonl", "--with", "longst"), "kind: no 'longst' among the annotators (there are: "),
        (("annotate", "p.jsonl", "--with", "longest", "--out", "l.txt"), "--out l.txt: the suffix must be one of"),
        (("annotate", "p.jsonl"), "name the folder of its run with --run DIR"),
        (("annotate", "p.jsonl", "--max-tokens", "9"), "--max-tokens: it is for annotators that learn from --fit FILE"),
        (("annotate", "p.jsonl", "--set", "kind=coin"), "'kind=coin': the kind of annotator is named by --with"),
        (("list", "annotators", "semm"), "annotators: there is no 'semm' (there are: aux_confidence, coin, "),
        (("list", "pipes"), "there is no list of 'pipes' (there are: annotators, sources, "),
        (("run", "nowhere.yaml", "--trainer", "wandb"), "nowhere.yaml: No such file or directory"),
    ],
)
def test_what_is_missing_is_named(
    trimtab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output, error = trimtab(*words)
    assert (code, output) == (1, "")
    assert error.startswith("error: ") and message in error
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_device_is_refused_before_any_work(trimtab: Command, study: Path, tmp_path: Path) -> None:
    code, _, error = trimtab("run", study, "--out", tmp_path / "run", "--device", "gpu")
    assert (code, error) == (1, "error: --device gpu: must be auto, cpu, cuda, cuda:N or mps\n")
    assert not (tmp_path / "run").exists()


def test_a_trainer_argument_without_a_value_is_refused(trimtab: Command, study: Path, tmp_path: Path) -> None:
    code, _, error = trimtab("run", study, "--out", tmp_path / "run", "--trainer", "wandb")
    assert (code, error) == (1, "error: --trainer wandb: expected KEY=VALUE\n")


def test_an_unknown_arm_is_refused_with_those_that_there_are(trimtab: Command, finished_run: Path) -> None:
    code, _, error = trimtab("export", finished_run, "--arm", "week")
    assert code == 1
    assert error.startswith("error: --arm week: there is no such arm (there are: base, sft, human, weak, flipped, ")


def test_a_plan_counts_what_is_done_and_what_is_to_run(trimtab: Command, study: Path, finished_run: Path) -> None:
    code, output, error = trimtab("plan", study, "--out", finished_run)
    assert (code, error) == (0, "")
    assert re.search(r"^33 stages are done, 0 to run, in ", output, re.MULTILINE)
    code, output, _ = trimtab("plan", study, "training.dpo.beta=0.4", "--out", finished_run)
    assert code == 0
    assert re.search(r"^dpo\.weak-model +to run +recipe\.beta: default -> 0\.4 ", output, re.MULTILINE)
    assert re.search(r"^\d+ stages are done, \d+ to run, (under|about) .* s, in ", output, re.MULTILINE)


def test_a_study_that_is_done_is_run_again_in_no_time_and_reported(
    trimtab: Command, study: Path, finished_run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    code, output, error = trimtab("run", study, "--out", folder, "--device", "cpu")
    assert code == 0
    assert "0 stages made, 33 were there already" in error
    assert output.splitlines()[-1] == str(folder / "report.html")
    told = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert set(told["arms"]) == {"base", "sft", "human", "weak", "flipped", "weak_model"}


def test_a_report_is_made_again_from_the_folder_alone(trimtab: Command, finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "elsewhere")
    assert trimtab("report", folder)[0] == 0
    first = (folder / "report.html").read_bytes()
    assert trimtab("report", folder)[0] == 0
    assert (folder / "report.html").read_bytes() == first


def test_labels_are_written_and_told(trimtab: Command, pairs: Path, tmp_path: Path) -> None:
    to = tmp_path / "labels.csv"
    code, output, _ = trimtab("annotate", pairs, "gap=5", "--with", "longest", "--out", to, "--device", "cpu")
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == "2 pairs: 2 labeled, 0 abstained, 0 failed"
    assert lines[1].startswith("agreement with the human labels: 0.50 [")
    assert lines[-1] == str(to)
    assert len(to.read_text().splitlines()) == 1 + len(PAIRS)


def test_settings_are_read_from_either_place_and_from_both(trimtab: Command, pairs: Path, tmp_path: Path) -> None:
    said = {
        "none": ("--with", "shortest"),
        "words": ("gap=10", "--with", "shortest"),
        "option": ("--set", "gap=10", "--with", "shortest"),
        "both": ("gap=3", "--set", "gap=10", "--with", "shortest"),
    }
    told = {
        name: trimtab("annotate", pairs, *words, "--out", tmp_path / "labels.csv", "--device", "cpu")[1].splitlines()[0]
        for name, words in said.items()
    }
    assert told["none"] == "2 pairs: 2 labeled, 0 abstained, 0 failed"
    assert told["words"] == told["option"] == told["both"] != told["none"]


def test_the_version_is_that_of_the_package(trimtab: Command) -> None:
    assert trimtab("--version") == (0, f"trimtab {version('trimtab')}\n", "")


def test_an_export_is_told_by_its_path(trimtab: Command, finished_run: Path, tmp_path: Path) -> None:
    code, output, _ = trimtab("export", finished_run, "--arm", "human", "--out", tmp_path / "human.jsonl")
    assert (code, output.splitlines()[-1]) == (0, str(tmp_path / "human.jsonl"))
    assert output.startswith("10 preferences: ")


def test_a_pair_is_shown_by_the_beginning_that_the_list_gives(trimtab: Command, finished_run: Path) -> None:
    code, listed, _ = trimtab("show", finished_run)
    assert code == 0
    beginning = listed.split()[-1]
    code, output, error = trimtab("show", finished_run, beginning, "--arm", "weak")
    assert (code, error) == (0, "")
    assert output.startswith(f"pair {beginning}")
    assert "ImplicitReward" in output and "conversation" in output


def test_a_pair_that_is_not_there_is_refused_with_those_nearest(trimtab: Command, finished_run: Path) -> None:
    code, output, error = trimtab("show", finished_run, "nothing-like-it")
    assert (code, output) == (1, "")
    assert error.startswith("error: pair 'nothing-like-it': no id begins so (nearest: ")


def test_one_thing_of_a_list_is_told_setting_by_setting(trimtab: Command) -> None:
    code, output, _ = trimtab("list", "annotators", "seam")
    assert code == 0
    assert output.startswith("seam\n\nStrong Empowered and Aligned Weak Mastered annotation (Li et al. 2025).\n")
    words = " ".join(output.split())
    assert "too_long fail fail or shorten" in words
    assert "depth 3 whole number >= 1 the released code's; the paper does not say" in words


def test_a_list_is_a_table_of_what_ships(trimtab: Command) -> None:
    code, output, _ = trimtab("list", "annotators")
    assert code == 0
    assert [name for name in ("implicit_reward", "policy=@weak", "longest", "gap=0") if name not in output] == []
