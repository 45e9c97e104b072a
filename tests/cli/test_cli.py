"""The command line reports what it did; an error gives the location, what was found and what was expected."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.cli import app, main, terminal
from trimtab.config.presets import load_preset
from trimtab.config.study import Study

PAIRS = [
    {"prompt": "Say one.", "chosen": "one, gladly", "rejected": "no"},
    {"prompt": "Say two.", "chosen": "two", "rejected": "no, never at all"},
]
HELP = {
    "quickstart": ("--out DIR", "--device", "--token-budget"),
    "new": ("STUDY.yaml", "PAIRS", "--data KEY=VALUE"),
    "run": ("STUDY.yaml", "KEY=VALUE", "--out DIR", "--device", "--token-budget", "--trainer KEY=VALUE"),
    "plan": ("STUDY.yaml", "KEY=VALUE", "--out DIR", "--device", "--token-budget", "--trainer KEY=VALUE"),
    "work": ("DIR", "--store DIR", "--device", "--token-budget", "--trainer KEY=VALUE", "--wait SECONDS"),
    "sample": (
        "PROMPTS",
        "--model MODEL",
        "--responses N",
        "--temperature T",
        "--max-new-tokens N",
        "--select RULE",
        "--scorer SCORER",
        "--limit N",
        "--models-from DIR",
        "--seed N",
        "--data KEY=VALUE",
        "--out FILE",
    ),
    "annotate": (
        "PAIRS",
        "--annotator KIND",
        "--models-from DIR",
        "--set KEY=VALUE",
        "--train-on FILE",
        "--max-train-pairs N",
        "--max-length N",
        "--limit N",
        "--data KEY=VALUE",
        "--format FORMAT",
        "--out FILE",
        "--device",
        "--token-budget",
    ),
    "label": ("POOL", "--rater NAME", "--out"),
    "audit": (
        "LABELED",
        "--annotator KIND",
        "--set KEY=VALUE",
        "--train-on FILE",
        "--max-train-pairs N",
        "--max-length N",
        "--limit N",
        "--unlabeled PAIRS",
        "--max-unlabeled N",
        "--reference-model MODEL",
        "--learning-curve",
        "--json FILE",
    ),
    "report": ("DIR",),
    "compare": ("runs side by side", "paired differences", "--out"),
    "compare-paper": ("PUBLISHED.yaml", "DIR …", "--markdown"),
    "show": ("DIR", "PAIR", "--arm NAME", "--text", "--no-text"),
    "export": ("DIR", "--arm", "--format", "--out PATH", "--overwrite", "--push-to-hub ID", "--public", "--dry-run"),
    "verify": ("DIR",),
    "compare-labels": ("A", "B", "--by WHAT", "--pairs FILE", "--data KEY=VALUE", "--json FILE"),
    "list": ("WHAT", "NAME", "annotators, filters, engines, sources, scorers, judges, models, losses or studies"),
    "doctor": ("STUDY.yaml", "KEY=VALUE", "--out DIR", "--variant NAME", "--store DIR", "--device"),
    "schema": ("WHAT",),
    "skill": ("coding agents",),
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
def test_help_lists_every_argument_of_a_command(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert [word for word in HELP[command] if word not in text] == []


def test_every_command_has_one_line_of_help_at_eighty_columns() -> None:
    lines = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output.splitlines()
    commands = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in commands] == list(HELP)
    assert [line for line in commands if line.endswith("...") or len(line) > 80] == []


def test_the_module_is_a_command_and_an_error_has_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trimtab", "plan", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == f"error: {tmp_path / 'none.yaml'}: No such file or directory; expected a study as a YAML file\n"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.dpo.btea=1", "training.dpo.btea: unknown setting; did you mean 'beta'? (expected one of: "),
        ("training.dpo.beta=high", "training.dpo.beta: expected a number, got 'high'"),
        ("training.dpo.beta=-1", "training.dpo.beta: must be greater than 0, got -1"),
        ("num_test_prompts=many", "num_test_prompts: expected a whole number, got 'many'"),
        (
            "data.kind=startr",
            "data.kind: unknown kind 'startr' in sources; did you mean 'starter'? (expected one of: concat, ",
        ),
        (
            "scorers.gold=chequer",
            "scorers.gold.kind: unknown kind 'chequer' in scorers (expected one of: reward_model, ",
        ),
        ("arms.x.annotator={kind: noisy_human, arm: y}", "arm 'y' ("),
        ("models.student=smollm2-135m", "no model 'smollm2-135m': it is not a short name (available: "),
        ("beta", "'beta': write an override as key=value or key.sub=value"),
    ],
)
def test_an_invalid_setting_is_reported_with_the_expected_values(
    trimtab: Command, study: Path, tmp_path: Path, override: str, message: str
) -> None:
    code, output, error = trimtab("plan", study, override, "--out", tmp_path / "run")
    assert (code, output) == (1, "")
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "nowhere"), "nowhere holds no finished run (no run.json); run the study first: trimtab run"),
        (("show", "nowhere"), "nowhere holds no finished run"),
        (("show", "nowhere", "3f9c"), "nowhere holds no finished run"),
        (("export", "nowhere"), "nowhere holds no finished run"),
        (("export", "nowhere", "--format", "csv"), "--format: must be one of trl, llama-factory, model, got 'csv'"),
        (
            ("annotate", "p.jsonl", "--annotator", "length", "--format", "csv"),
            "--format: must be one of rows, trl, ids",
        ),
        (("annotate", "nowhere.jsonl", "--annotator", "length"), "nowhere.jsonl: no such file"),
        (
            ("annotate", "p.jsonl", "--annotator", "lenght"),
            "kind: unknown kind 'lenght' in annotators; did you mean 'length'?",
        ),
        (("annotate", "p.jsonl", "--annotator", "length", "--out", "l.txt"), "--out l.txt: the suffix must be one of"),
        (("annotate", "p.jsonl", "--max-length", "9"), "--max-length: requires --train-on FILE"),
        (("annotate", "p.jsonl", "--max-train-pairs", "9"), "--max-train-pairs: requires --train-on FILE"),
        (("annotate", "p.jsonl", "--set", "kind=random"), "'kind=random': set the kind of annotator with --annotator"),
        (
            ("list", "annotators", "semm"),
            "annotators: unknown name 'semm'; did you mean 'seam'? (expected one of: aux_confidence, ",
        ),
        (("list", "pipes"), "unknown list 'pipes' (expected one of: annotators, sources, "),
        (("run", "nowhere.yaml", "--trainer", "wandb"), "nowhere.yaml: No such file or directory"),
    ],
)
def test_a_missing_or_unknown_thing_is_named(
    trimtab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output, error = trimtab(*arguments)
    assert (code, output) == (1, "")
    assert error.startswith("error: ") and message in error
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_device_is_an_error_before_any_work(trimtab: Command, study: Path, tmp_path: Path) -> None:
    code, _, error = trimtab("run", study, "--out", tmp_path / "run", "--device", "gpu")
    assert (code, error) == (1, "error: --device gpu: must be auto, cpu, cuda, cuda:N or mps\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["run", "work"])
def test_a_gpu_that_this_machine_does_not_have_is_an_error_before_any_work(
    trimtab: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    import torch

    run = tmp_path / "run"
    arguments = {"run": ("run", study, "--out", run), "work": ("work", run)}[command]
    for count, device, found in ((0, "cuda", "0 GPUs"), (1, "cuda:1", "1 GPU")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        code, _, error = trimtab(*arguments, "--device", device)
        assert code == 1
        assert f"error: --device {device}: torch {torch.__version__} finds {found} here; use another" in error
    assert not run.exists()


def test_plan_checks_trainer_arguments_and_repeats_them(trimtab: Command, study: Path) -> None:
    code, _, error = trimtab("plan", study, "--trainer", "learning_rate=1")
    assert code == 1
    assert "learning_rate" in error
    code, _, error = trimtab("plan", study, "--trainer", "logging_steps=5")
    assert code == 0
    assert error.rstrip().endswith("--trainer logging_steps=5")


def test_a_trainer_argument_without_a_value_is_an_error(trimtab: Command, study: Path, tmp_path: Path) -> None:
    code, _, error = trimtab("run", study, "--out", tmp_path / "run", "--trainer", "wandb")
    assert (code, error) == (1, "error: --trainer wandb: expected KEY=VALUE\n")


def test_an_unknown_arm_is_an_error_that_lists_the_arms(trimtab: Command, finished_run: Path) -> None:
    code, _, error = trimtab("export", finished_run, "--arm", "week")
    assert code == 1
    assert error.startswith("error: --arm week: unknown arm (expected one of: base, sft, human, weak, flipped, ")


def test_a_plan_counts_finished_stages_and_stages_to_run(trimtab: Command, study: Path, finished_run: Path) -> None:
    code, output, error = trimtab("plan", study, "--out", finished_run)
    assert (code, error) == (0, "")
    assert re.search(r"^33 stages are done, 0 to run, in ", output, re.MULTILINE)
    code, output, _ = trimtab("plan", study, "training.dpo.beta=0.4", "--out", finished_run)
    assert code == 0
    assert re.search(r"^dpo\.weak-model +to run +recipe\.beta: default -> 0\.4 ", output, re.MULTILINE)
    assert re.search(r"^\d+ stages are done, \d+ to run, (under|about) .* s, in ", output, re.MULTILINE)


def test_a_plan_says_whether_its_trainings_fit_into_memory(
    trimtab: Command, study: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.workflows.training_memory.find_free_device_memory", lambda device: 800_000_000)
    plan = ("plan", study, "training.dpo.beta=0.4", "--out", finished_run, "--device", "cpu")
    code, output, error = trimtab(*plan)
    assert code == 0
    assert re.search(r"^memory of dpo\.weak-model: about 7\d\d MB, and cpu has 800 MB free$", output, re.MULTILINE)
    assert error.rstrip().endswith(f"--out {finished_run} --device cpu")
    code, output, _ = trimtab(*plan, "--token-budget", 32768)
    assert "only 800 MB free; this would fit: a smaller --token-budget (about 7" in output


def test_running_a_finished_study_reuses_every_stage_and_writes_the_report(
    trimtab: Command, study: Path, finished_run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    code, output, error = trimtab("run", study, "--out", folder, "--device", "cpu")
    assert code == 0
    assert "0 stages run, 33 reused" in error
    assert output.splitlines()[-1] == str(folder / "report.html")
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert set(document["arms"]) == {"base", "sft", "human", "weak", "flipped", "weak_model"}


def test_a_report_is_reproducible_from_the_run_folder(trimtab: Command, finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "copy")
    assert trimtab("report", folder)[0] == 0
    first = (folder / "report.html").read_bytes()
    assert trimtab("report", folder)[0] == 0
    assert (folder / "report.html").read_bytes() == first


def test_labels_are_written_and_summarized(trimtab: Command, pairs: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    options = ("--annotator", "length", "--set", "tie_threshold=5", "--out", path, "--device", "cpu")
    code, output, _ = trimtab("annotate", pairs, *options)
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == "2 pairs: 2 labeled, 0 abstained, 0 failed"
    assert lines[1].startswith("agreement with human labels: 0.50 [")
    assert lines[-1] == str(path)
    assert len(path.read_text().splitlines()) == 1 + len(PAIRS)


def test_a_random_sample_of_the_pairs_is_labeled_and_compared(trimtab: Command, tmp_path: Path) -> None:
    path, labels = tmp_path / "mine.csv", tmp_path / "labels.csv"
    rows = [f"Ask {number}?,yes,no {number},{1 + number % 2}" for number in range(9)]
    path.write_text("\n".join(["question,answer_1,answer_2,better", *rows]))
    columns = "columns={prompt: question, response_a: answer_1, response_b: answer_2, label: better}"
    data = ("--data", columns, "--data", "label_values={1: a, 2: b}")
    code, output, _ = trimtab("annotate", path, "--annotator", "length", *data, "--limit", 4, "--out", labels)
    assert (code, output.splitlines()[0]) == (0, "4 pairs: 4 labeled, 0 abstained, 0 failed")
    assert len(labels.read_text().splitlines()) == 5
    code, output, _ = trimtab("compare-labels", labels, "human", "--pairs", path, *data)
    assert code == 0
    assert "4" in output
    code, _, error = trimtab("compare-labels", labels, labels, *data)
    assert (code, "--data: requires --pairs FILE" in error) == (1, True)


def test_settings_of_the_annotator_are_given_with_set(trimtab: Command, pairs: Path, tmp_path: Path) -> None:
    base = ("--annotator", "length", "--set", "prefer=shorter", "--out", tmp_path / "labels.csv", "--device", "cpu")
    summaries = [
        trimtab("annotate", pairs, *base, *options)[1].splitlines()[0]
        for options in ((), ("--set", "tie_threshold=10"), ("--set", "tie_threshold=3", "--set", "tie_threshold=10"))
    ]
    assert summaries[0] == "2 pairs: 2 labeled, 0 abstained, 0 failed"
    assert summaries[1] == summaries[2] != summaries[0]


def test_the_version_is_that_of_the_package(trimtab: Command) -> None:
    assert trimtab("--version") == (0, f"trimtab {version('trimtab')}\n", "")


def test_a_new_study_can_be_planned_as_it_is(trimtab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, output, _ = trimtab("new", "built-in.yaml")
    assert (code, output.splitlines()[-1]) == (0, "built-in.yaml")
    assert trimtab("plan", "built-in.yaml")[0] == 0
    rows = [f"Ask {n}?,yes {n},no {n},{1 + n % 2}" for n in range(200)]
    (tmp_path / "mine.csv").write_text("\n".join(["question,answer_1,answer_2,better", *rows]))
    columns = "columns={prompt: question, response_a: answer_1, response_b: answer_2, label: better}"
    code, output, _ = trimtab("new", "own.yaml", "mine.csv", "--data", columns, "--data", "label_values={1: a, 2: b}")
    assert code == 0
    assert output.startswith("a study of 200 labeled pairs in mine.csv (two responses, text, labels in 'better'")
    assert trimtab("plan", "own.yaml")[0] == 0
    code, _, error = trimtab("new", "own.yaml", "mine.csv")
    assert code == 1 and "own.yaml: exists already; choose another name, or delete it first" in error
    code, _, error = trimtab("new", "other.yaml", "mine.csv")
    assert code == 1 and "mine.csv: no layout fits" in error
    assert trimtab("new", "other.txt")[2] == "error: other.txt: a study is YAML; use the suffix .yaml\n"
    assert not (tmp_path / "other.yaml").exists()


def test_the_error_for_unknown_columns_has_the_options_that_read_them(trimtab: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("question,answer_1,answer_2,better\nAsk?,yes,no,1\nWhy?,so,because,2\n")
    command = ("annotate", path, "--annotator", "human", "--out", tmp_path / "labels.csv", "--device", "cpu")
    code, _, error = trimtab(*command)
    assert code == 1
    (options,) = re.findall(r"or (--data 'columns=.*) to the command", error)
    code, output, _ = trimtab(*command, *shlex.split(options))
    assert (code, output.splitlines()[0]) == (0, "2 pairs: 2 labeled, 0 abstained, 0 failed")


def test_an_export_prints_its_path(trimtab: Command, finished_run: Path, tmp_path: Path) -> None:
    code, output, _ = trimtab("export", finished_run, "--arm", "human", "--out", tmp_path / "human.jsonl")
    assert (code, output.splitlines()[-1]) == (0, str(tmp_path / "human.jsonl"))
    assert output.startswith("10 preferences: ")


def test_a_pair_is_shown_by_the_id_prefix_in_the_list(trimtab: Command, finished_run: Path) -> None:
    code, listed, _ = trimtab("show", finished_run)
    assert code == 0
    prefix = listed.split()[-1]
    code, output, error = trimtab("show", finished_run, prefix, "--arm", "weak")
    assert (code, error) == (0, "")
    assert output.startswith(f"pair {prefix}")
    assert "implicit_reward" in output and "conversation" in output


def test_an_unknown_pair_is_an_error_with_similar_ids(trimtab: Command, finished_run: Path) -> None:
    code, output, error = trimtab("show", finished_run, "nothing-like-it")
    assert (code, output) == (1, "")
    assert error.startswith("error: pair 'nothing-like-it': no id starts with it (nearest: ")


def test_one_entry_of_a_list_is_shown_with_all_its_settings(trimtab: Command) -> None:
    code, output, _ = trimtab("list", "annotators", "seam")
    assert code == 0
    assert output.startswith("seam\n\nStrong Empowered and Aligned Weak Mastered annotation (Li et al. 2025).\n")
    words = " ".join(output.split())
    assert "on_overlong fail fail or truncate" in words
    assert "max_depth 3 whole number" in words


def test_a_listed_study_can_be_redirected_to_a_file(trimtab: Command, tmp_path: Path) -> None:
    code, output, _ = trimtab("list", "studies", "quickstart")
    study = tmp_path / "study.yaml"
    study.write_text(output, encoding="utf-8")
    assert code == 0
    assert Study.load(study) == Study.parse(load_preset("quickstart"))


def test_a_narrow_list_breaks_no_setting_name(trimtab: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "width", 80)
    _, seam, _ = trimtab("list", "annotators", "seam")
    assert {"allow_reused_principles", "helpful_only_labeler"} < set(seam.split())
    _, losses, _ = trimtab("list", "losses")
    assert {"preference_model.aux_confidence", "presentation_order=random", "lr_scheduler_type=cosine"} < set(
        losses.split()
    )
    assert max(map(len, losses.splitlines())) <= 80


def test_a_list_is_a_table_of_built_in_components(trimtab: Command) -> None:
    code, output, _ = trimtab("list", "annotators")
    assert code == 0
    assert [
        name for name in ("implicit_reward", "policy=@weak", "length", "tie_threshold=0") if name not in output
    ] == []
