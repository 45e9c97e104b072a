"""One small study with the options of training and generation that its labels and models do not need: all of them run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.models.model_card import is_trained_model
from trimtab.pipeline.dry_run import plan_dry_run
from trimtab.report.run_reader import Run
from trimtab.storage.schemas import load_completions

DPO = "batch_size: 6, lora_r: 2, learning_rate: 1.0e-3, max_steps: 2"
OPTIONS = """
  sft: {{batch_size: 6, lora_r: 2, lora_dropout: 0.1, max_steps: 2, learning_rate: 1.0e-3}}
  sft_data: {{kind: file, path: {path}}}
  dpo: {{{dpo}, lora_target_modules: [q_proj, v_proj]}}
arms:
  by_deep:
    annotator: {{kind: implicit_reward, policy: "@deep", reference: "@deep.sft", average_log_prob: true}}
    dpo: {{{dpo}, label_mode: weighted, normalize_weights: true}}
    filter: {{kind: from_source, source: {{kind: starter, limit: 90}}}}
generation: {{max_new_tokens: 4, top_p: 0.9, stop: ["\\n\\nHuman:"]}}
"""


@pytest.fixture(scope="module")
def run(tiny_study: str, tmp_path_factory: pytest.TempPathFactory, run_whole: Callable[..., tuple[Study, Path]]) -> Run:
    path = tmp_path_factory.mktemp("sft") / "instructions.jsonl"
    rows = [{"instruction": f"Say {n}.", "output": f"{n}"} for n in range(8)]
    rows += [
        {"instruction": "Say 1.", "output": "1"},
        {"instruction": "x" * 600, "output": "too long"},
        {"instruction": "no"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    start = tiny_study.index("\n", tiny_study.index("training:"))
    end = tiny_study.index("scorers:")
    text = tiny_study[:start] + OPTIONS.format(path=path, dpo=DPO) + tiny_study[end:]
    text = text.replace("models:\n", "models:\n  weak_models: {deep: " + _model(tiny_study) + "}\n")
    return Run(run_whole(text)[1])


def _model(tiny_study: str) -> str:
    return tiny_study.partition("student: ")[2].partition("\n")[0]


def facts(run: Run, stage: str) -> dict[str, Any]:
    (folder,) = run.index.stages_named(stage)
    return dict(run.artifact(folder).record["facts"])


def test_sft_trains_on_the_instructions_and_counts_the_others(run: Run) -> None:
    sft = facts(run, "sft.student")
    assert (sft["examples"], sft["steps"], sft["epochs"]) == (8, 2, 1.0)
    assert sft["dropped"] == {"failed": 1, "duplicate": 1, "overlong": 1}
    assert next(row for row in run.arms if row.name == "sft").description.endswith("training.sft_data")
    assert facts(run, "sft.weak-model")["examples"] == 12  # the weak model learns from the labeled pairs


def test_a_second_weak_model_labels_an_arm(run: Run) -> None:
    (training,) = run.index.stages_named("dpo.weak-model.deep")
    assert is_trained_model(run.folder / "stages" / training)
    arms = {row.name: row for row in run.arms}
    labels = {arm: run.annotations(arms[arm].labels or "") for arm in ("weak", "by_deep")}
    margins = {arm: [label.margin for label in labels[arm].values()] for arm in labels}
    assert margins["weak"] != margins["by_deep"]
    assert facts(run, "filter.by_deep")["kept"] == facts(run, "filter.by_deep")["labeled"]


def test_adapters_are_on_the_requested_layers_and_can_be_loaded_again(run: Run) -> None:
    from safetensors import safe_open

    (training,) = run.index.stages_named("dpo.weak")
    with safe_open(
        run.folder / "stages" / training / "adapter" / "adapter_model.safetensors", framework="numpy"
    ) as weights:
        modules = {name.split(".lora_")[0].rpartition(".")[2] for name in weights.keys()}  # noqa: SIM118
    assert modules == {"q_proj", "v_proj"}
    assert {row.name for row in run.arms if row.completions} >= {"weak", "by_deep", "sft"}


def test_no_response_has_a_stop_text(run: Run) -> None:
    for row in run.arms:
        if row.completions:
            assert not any("\n\nHuman:" in each.text for each in load_completions(run.artifact(row.completions)))


def test_the_finished_study_needs_no_further_work(run: Run) -> None:
    assert {row.state for row in plan_dry_run(run.study, run.folder)} == {"done"}
