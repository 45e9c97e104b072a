"""A forecast says what is there, what will be made and why, and about how long; and it touches nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.models.config import Model
from trimtab.models.parameter_count import count_parameters
from trimtab.pipeline.dry_run import REASON_RESUME, REASON_WEIGHTS_MISSING, PlannedStage, format_estimate, plan_dry_run
from trimtab.pipeline.plan import NO_HUMAN_LABELS, build_plan
from trimtab.storage.artifacts import Store

# 259 tokens and 32 wide: two embeddings, the last norm, and a layer with grouped attention (4 heads, 2 of keys).
EMBEDDINGS, LAST_NORM = 2 * 259 * 32, 32
LAYER = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32

SIDES = {
    "labeled": [{"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": f"not {n}"} for n in range(3)],
    "unlabeled": [{"prompt": f"Sing {n}.", "response_a": f"la {n}", "response_b": f"lo {n}"} for n in range(3)],
    "test": [{"prompt": f"Count to {n}.", "chosen": f"1 to {n}", "rejected": "no"} for n in range(3)],
}


def rows(text: str, folder: Path, *changes: str) -> dict[str, PlannedStage]:
    return {row.stage: row for row in plan_dry_run(Study.parse(text, changes), folder)}


def files_of(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_finished_run_has_nothing_left_to_do(tiny_study: str, finished_run: Path) -> None:
    found = rows(tiny_study, finished_run)
    assert set(found) == {stage.name for stage in build_plan(Study.parse(tiny_study)).stages}
    assert {(row.state, row.reason, row.duration, row.seconds) for row in found.values()} == {("done", "", "", None)}


def test_looking_ahead_changes_nothing_on_disk(tiny_study: str, finished_run: Path, tmp_path: Path) -> None:
    before = files_of(finished_run)
    rows(tiny_study, finished_run, "training.dpo.beta=0.5")
    rows(tiny_study, tmp_path / "nowhere")
    assert files_of(finished_run) == before
    assert not (tmp_path / "nowhere").exists()


def test_in_an_empty_folder_everything_is_new(tiny_study: str, tmp_path: Path) -> None:
    assert {(row.state, row.reason) for row in rows(tiny_study, tmp_path).values()} == {("to run", "new")}


def test_a_changed_setting_is_named_with_both_values(tiny_study: str, finished_run: Path) -> None:
    found = rows(tiny_study, finished_run, "training.dpo.beta=0.05")
    assert found["dpo.weak-model"].reason == "recipe.beta: default -> 0.05"
    assert found["logprobs.weak-model"].reason == "input model changed (dpo.weak-model)"
    assert found["annotate.weak"].reason.startswith("annotator.beta: default -> 0.05")
    assert found["dpo.weak"].reason == "recipe.beta: default -> 0.05; input labels changed (annotate.weak)"
    assert found["sft.student"].state == "done"


def test_a_setting_put_back_to_its_default_says_so(tiny_study: str, finished_run: Path) -> None:
    assert (
        rows(tiny_study, finished_run, "training.dpo.lora_rank=8")["dpo.human"].reason
        == "recipe.lora_rank: 2 -> default"
    )


def test_several_changed_inputs_are_named_together(tiny_study: str, finished_run: Path) -> None:
    found = rows(tiny_study, finished_run, "training.weak_sft={batch_size: 6}")
    assert found["sft.weak-model"].reason == "recipe.learning_rate: 0.001 -> default"
    assert found["dpo.weak-model"].reason == "inputs changed: logprobs.weak-model-sft, sft.weak-model"


def test_other_weights_and_another_depth_are_told_apart(
    tiny_study: str, tiny_model: Path, finished_run: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    found = rows(tiny_study, finished_run, f"models.student.base={other}")
    assert found["generate.base"].reason == "model weights changed; input split changed (split)"
    assert found["split"].reason.endswith("student model weights changed")
    found = rows(tiny_study, finished_run, "models.weak.layers=2")
    assert found["sft.weak-model"].reason == "model layers changed"


def test_a_copy_of_the_weights_elsewhere_is_no_change(
    tiny_study: str, tiny_model: Path, finished_run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    found = rows(tiny_study, finished_run, f"models.student.base={copy}", f"models.weak.base={copy}")
    assert found["generate.base"].state == "done"


def test_a_half_made_stage_goes_on(tiny_study: str, finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    (record,) = (folder / "stages").glob("dpo.weak-model-*/record.json")
    record.unlink()
    found = rows(tiny_study, folder)
    assert (found["dpo.weak-model"].state, found["dpo.weak-model"].reason) == ("resume", REASON_RESUME)
    assert found["dpo.weak-model"].seconds is not None


def test_weights_that_were_never_fetched_are_said_to_be_fetched_first(tiny_study: str, tmp_path: Path) -> None:
    found = rows(tiny_study, tmp_path, "models.student=nobody/never-fetched")
    assert (found["sft.student"].reason, found["sft.student"].duration) == (REASON_WEIGHTS_MISSING, "?")
    assert found["dpo.weak"].reason == REASON_WEIGHTS_MISSING
    assert {row.state for row in found.values()} == {"to run"}


def test_an_arm_without_human_labels_is_skipped_once_the_split_says_so(
    tiny_study: str, runtime: Runtime, tmp_path: Path
) -> None:
    for side, rows_of_side in SIDES.items():
        (tmp_path / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of_side))
    data = json.dumps({side: {"kind": "file", "path": str(tmp_path / f"{side}.jsonl")} for side in SIDES})
    assert "skipped" not in {row.state for row in rows(tiny_study, tmp_path / "run", f"data={data}").values()}
    split = build_plan(Study.parse(tiny_study, [f"data={data}"])).split
    Store(tmp_path / "run").get_or_create(split.name, split.recipe, lambda draft: split.execute(draft, {}, runtime))
    found = rows(tiny_study, tmp_path / "run", f"data={data}")
    assert {row.stage: row.reason for row in found.values() if row.state == "skipped"} == {
        "human": NO_HUMAN_LABELS,
        "flipped": NO_HUMAN_LABELS,
    }
    assert "dpo.weak" in found and "dpo.human" not in found


def test_what_this_folder_measured_comes_before_the_rough_rate(
    tiny_study: str, finished_run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    for path in (folder / "stages").glob("dpo.*/record.json"):
        record = json.loads(path.read_text())
        record["facts"]["tokens"], record["seconds"] = 1000, 2000
        path.write_text(json.dumps(record))
    measured = rows(tiny_study, folder, "training.dpo.beta=0.5")["dpo.human"].seconds
    twice = rows(tiny_study, folder, "training.dpo.beta=0.5", "training.dpo.epochs=2")["dpo.human"].seconds
    rough = rows(tiny_study, tmp_path / "nowhere")["dpo.human"].seconds
    assert measured is not None and twice is not None and rough is not None
    # Two seconds a token; ten pairs of the starter set are some hundred tokens and some thousand.
    assert 2 * 300 < measured < 2 * 3000
    assert twice == pytest.approx(2 * measured)
    assert rough < 1


def test_without_a_limit_on_the_pairs_nothing_is_guessed(tiny_study: str, tmp_path: Path) -> None:
    found = rows(tiny_study, tmp_path, "split.max_unlabeled=null")
    assert (found["dpo.human"].duration, found["dpo.human"].seconds) == ("?", None)
    assert found["sft.student"].seconds is not None


def test_parameters_are_counted_without_the_layers_that_are_cut_off(tiny_model: Path) -> None:
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
def test_a_length_is_told_in_two_digits_at_most(seconds: float | None, text: str) -> None:
    assert format_estimate(seconds) == text


def test_looking_ahead_loads_no_torch(tiny_study: str, finished_run: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trimtab.config.study import Study; from trimtab.pipeline.dry_run import forecast; "
        "forecast(Study.parse(sys.argv[1], ['training.dpo.beta=0.5']), Path(sys.argv[2])); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, tiny_study, str(finished_run)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
