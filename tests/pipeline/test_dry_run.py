"""A dry run lists what is finished, what will run and why, and about how long it takes; and it changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.models.config import Model
from trimtab.models.parameter_count import count_parameters
from trimtab.pipeline.dry_run import (
    REASON_RESUME,
    REASON_WEIGHTS_MISSING,
    PlannedStage,
    format_estimate,
    plan_dry_run,
)
from trimtab.pipeline.dry_run.split_sizes import predict_split
from trimtab.pipeline.plan import NO_HUMAN_LABELS, build_plan
from trimtab.storage.artifacts import Store
from trimtab.storage.record import write_record
from trimtab.workflows.study_plan import StudyPlan

# 259 tokens, width 32: two embeddings, the last norm, and a layer with grouped-query attention (4 heads, 2 key heads).
EMBEDDINGS, LAST_NORM = 2 * 259 * 32, 32
LAYER = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32

SPLITS = {
    "labeled": [{"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": f"not {n}"} for n in range(3)],
    "unlabeled": [{"prompt": f"Sing {n}.", "response_a": f"la {n}", "response_b": f"lo {n}"} for n in range(3)],
    "test": [{"prompt": f"Count to {n}.", "chosen": f"1 to {n}", "rejected": "no"} for n in range(3)],
}


def rows(text: str, folder: Path, *changes: str) -> dict[str, PlannedStage]:
    return {row.stage: row for row in plan_dry_run(Study.parse(text, changes), folder)}


def modification_times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_finished_run_has_nothing_to_run(tiny_study: str, finished_run: Path) -> None:
    stages = rows(tiny_study, finished_run)
    assert set(stages) == {stage.name for stage in build_plan(Study.parse(tiny_study)).stages}
    assert {(row.state, row.reason, row.duration, row.seconds) for row in stages.values()} == {("done", "", "", None)}


def test_a_dry_run_changes_nothing_on_disk(tiny_study: str, finished_run: Path, tmp_path: Path) -> None:
    before = modification_times(finished_run)
    rows(tiny_study, finished_run, "training.dpo.beta=0.5")
    rows(tiny_study, tmp_path / "nowhere")
    assert modification_times(finished_run) == before
    assert not (tmp_path / "nowhere").exists()


def test_in_an_empty_folder_everything_is_new(tiny_study: str, tmp_path: Path) -> None:
    assert {(row.state, row.reason) for row in rows(tiny_study, tmp_path).values()} == {("to run", "new")}


def test_a_changed_setting_is_named_with_both_values(tiny_study: str, finished_run: Path) -> None:
    stages = rows(tiny_study, finished_run, "training.dpo.beta=0.05")
    assert stages["dpo.weak-model"].reason == "recipe.beta: default -> 0.05"
    assert stages["logprobs.weak-model"].reason == "input model changed (dpo.weak-model)"
    assert stages["annotate.weak"].reason.startswith("annotator.beta: default -> 0.05")
    assert stages["dpo.weak"].reason == "recipe.beta: default -> 0.05; input labels changed (annotate.weak)"
    assert stages["sft.student"].state == "done"


def test_a_setting_that_returns_to_its_default_is_named(tiny_study: str, finished_run: Path) -> None:
    assert rows(tiny_study, finished_run, "training.dpo.lora_r=8")["dpo.human"].reason == "recipe.lora_r: 2 -> default"


def test_several_changed_inputs_are_named_together(tiny_study: str, finished_run: Path) -> None:
    stages = rows(tiny_study, finished_run, "training.weak_sft={batch_size: 6}")
    assert stages["sft.weak-model"].reason == "recipe.learning_rate: 0.001 -> default"
    assert stages["dpo.weak-model"].reason == "inputs changed: logprobs.weak-model-sft, sft.weak-model"


def test_other_weights_and_another_depth_are_distinguished(
    tiny_study: str, tiny_model: Path, finished_run: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    stages = rows(tiny_study, finished_run, f"models.student.base={other}")
    assert stages["generate.base"].reason == "model weights changed; input split changed (split)"
    assert stages["split"].reason.endswith("student model weights changed")
    stages = rows(tiny_study, finished_run, "models.weak.layers=2")
    assert stages["sft.weak-model"].reason == "model layers changed"


def test_a_copy_of_the_weights_in_another_folder_is_not_a_change(
    tiny_study: str, tiny_model: Path, finished_run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    stages = rows(tiny_study, finished_run, f"models.student.base={copy}", f"models.weak.base={copy}")
    assert stages["generate.base"].state == "done"


def test_an_unfinished_stage_resumes(tiny_study: str, finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    (record,) = (folder / "stages").glob("dpo.weak-model-*/record.json")
    record.unlink()
    stages = rows(tiny_study, folder)
    assert (stages["dpo.weak-model"].state, stages["dpo.weak-model"].reason) == ("resume", REASON_RESUME)
    assert stages["dpo.weak-model"].seconds is not None


def test_weights_that_are_missing_are_downloaded_first(tiny_study: str, tmp_path: Path) -> None:
    stages = rows(tiny_study, tmp_path, "models.student=nobody/never-downloaded")
    assert (stages["sft.student"].reason, stages["sft.student"].duration) == (REASON_WEIGHTS_MISSING, "?")
    assert stages["dpo.weak"].reason == REASON_WEIGHTS_MISSING
    assert {row.state for row in stages.values()} == {"to run"}


def test_an_arm_without_human_labels_is_skipped_once_the_split_is_known(
    tiny_study: str, runtime: Runtime, tmp_path: Path
) -> None:
    for name, split_rows in SPLITS.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in split_rows))
    data = json.dumps({name: {"kind": "file", "path": str(tmp_path / f"{name}.jsonl")} for name in SPLITS})
    assert "skipped" not in {row.state for row in rows(tiny_study, tmp_path / "run", f"data={data}").values()}
    split = build_plan(Study.parse(tiny_study, [f"data={data}"])).split
    Store(tmp_path / "run").get_or_create(split.name, split.recipe, lambda draft: split.execute(draft, {}, runtime))
    stages = rows(tiny_study, tmp_path / "run", f"data={data}")
    assert {row.stage: row.reason for row in stages.values() if row.state == "skipped"} == {
        "human": NO_HUMAN_LABELS,
        "flipped": NO_HUMAN_LABELS,
    }
    assert "dpo.weak" in stages and "dpo.human" not in stages


def test_measured_rates_take_precedence_over_default_rates(tiny_study: str, finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    for path in (folder / "stages").glob("dpo.*/record.json"):
        record = json.loads(path.read_text())
        record["facts"]["work"]["amount"], record["seconds"] = 1000, 2000
        write_record(path.parent, record)
    measured = rows(tiny_study, folder, "training.dpo.beta=0.5")["dpo.human"].seconds
    twice = rows(tiny_study, folder, "training.dpo.beta=0.5", "training.dpo.num_train_epochs=2")["dpo.human"].seconds
    rough = rows(tiny_study, tmp_path / "nowhere")["dpo.human"].seconds
    assert measured is not None and twice is not None and rough is not None
    # Two seconds per token; ten pairs of the starter set have between 300 and 3000 tokens.
    assert 2 * 300 < measured < 2 * 3000
    assert twice == pytest.approx(2 * measured)
    assert rough < 1


def test_without_a_limit_the_pairs_are_counted(tiny_study: str, tmp_path: Path) -> None:
    limited = rows(tiny_study, tmp_path)["dpo.human"].seconds
    unlimited = rows(tiny_study, tmp_path, "split.max_unlabeled=null")["dpo.human"].seconds
    assert limited is not None
    assert unlimited is not None
    assert unlimited > limited


def test_parameters_are_counted_without_truncated_layers(tiny_model: Path) -> None:
    assert count_parameters(Model(base=str(tiny_model))) == EMBEDDINGS + LAST_NORM + 2 * LAYER
    assert count_parameters(Model(base=str(tiny_model), layers=1)) == EMBEDDINGS + LAST_NORM + LAYER


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0.2, "under 1 s"),
        (42.4, "about 42 s"),
        (89.0, "about 89 s"),
        (125.0, "about 2.1 min"),
        (86 * 60.0, "about 86 min"),
        (3 * 3600.0, "about 3 h"),
        (6220.0, "about 1.7 h"),
        (123456 * 3600.0, "about 120000 h"),
    ],
)
def test_an_estimate_has_at_most_two_digits(seconds: float | None, text: str) -> None:
    assert format_estimate(seconds) == text


def test_a_dry_run_does_not_import_torch(tiny_study: str, finished_run: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trimtab.config.study import Study; "
        "from trimtab.pipeline.dry_run import plan_dry_run; "
        "plan_dry_run(Study.parse(sys.argv[1], ['training.dpo.beta=0.5']), Path(sys.argv[2])); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, tiny_study, str(finished_run)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_hub_that_does_not_answer_delays_no_plan(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: x\ndata: {kind: hub, id: a/b}\nmodels: {weak: a/c, student: a/d}\nood_eval: {e: {kind: hub, id: a/e}}"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "trimtab", "plan", str(study), "--out", str(tmp_path / "run")]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "Retrying" not in finished.stderr
    assert "fetches data" in finished.stdout
    assert "Sizes are unknown until these models are downloaded: a/c, a/d\n" in finished.stdout


def test_before_the_first_run_the_rows_of_a_file_give_the_estimates(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {n}?", "chosen": f"Yes {n}.", "rejected": f"No {n}."} for n in range(200)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = Study.parse(
        "name: x\nmodels: {weak: smollm2-135m-instruct, student: smollm2-135m-instruct}\n"
        f"data: {{kind: file, path: {tmp_path / 'pairs.jsonl'}}}\nscorers: {{checker: synthetic_checker}}\n"
    )
    unknown = [stage.stage for stage in plan_dry_run(study, tmp_path / "run") if stage.seconds is None]
    assert unknown in ([], ["split"])


def test_pairs_that_are_probably_too_long_are_not_estimated(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {n}?", "chosen": "Yes" * (n % 2 * 500 + 1), "rejected": "No"} for n in range(200)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (
        "name: x\nmodels: {weak: smollm2-135m-instruct, student: smollm2-135m-instruct}\nsplit: {test: 0.5}\n"
        f"data: {{kind: file, path: {tmp_path / 'pairs.jsonl'}}}\nmax_length: "
    )
    short, long = (predict_split(Study.parse(f"{text}{length}")) for length in (64, 512))
    assert sum(count or 0 for count in short.pairs.values()) == 100
    assert sum(count or 0 for count in long.pairs.values()) == 200
    assert short.tokens_per_pair["test"] == pytest.approx(
        20 + 17 / 4, abs=1
    )  # a question of 11 or 12, and 5 characters


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((60.0, 120.0), "2 to run, about 3 min, in "),
        ((60.0, 120.0, None), "3 to run, about 3 min and 1 stage without an estimate yet, in "),
        ((0.1, None, None), "3 to run, no time estimate yet (2 stages without an estimate), in "),
        ((), "0 to run, in "),
    ],
)
def test_a_plan_gives_no_total_if_most_stages_have_no_estimate(
    seconds: tuple[float | None, ...], expected: str, tmp_path: Path
) -> None:
    stages = tuple(PlannedStage(f"stage {n}", "to run", "new", "", each) for n, each in enumerate(seconds))
    assert expected in StudyPlan(tmp_path, stages).summary
