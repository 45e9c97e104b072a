"""4-bit weights: what is refused, and that students on them train, generate and export."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trimtab.config.study import Study
from trimtab.core.component import validate_settings
from trimtab.core.runtime import Runtime
from trimtab.errors import ModelError, StudyError
from trimtab.models.config import Model, compute_model_hash
from trimtab.models.references import ModelRef
from trimtab.pipeline import quantization_checks
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.quantization_checks import preflight_quantization
from trimtab.pipeline.run_index import load_run_index
from trimtab.pipeline.shard_checks import preflight_sharding
from trimtab.scorers.reward_model import RewardModel
from trimtab.storage.artifacts import open_artifact
from trimtab.storage.schemas import load_split_pairs
from trimtab.workflows.export import export_model

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="needs the extra quantization"
)


@pytest.fixture(scope="session")
def quantized_study(tiny_study: str) -> str:
    """The tiny study with a student of 4-bit weights and LoRA in every training."""
    changed = tiny_study.replace("sft: {", "sft: {lora_r: 2, ")
    head, student, tail = changed.partition("  student: {")
    assert student and "lora_r: 2, batch" in tail
    return head + student + "load_in_4bit: true, " + tail


def test_quantized_weights_are_another_model(tiny_model: Path) -> None:
    plain, quantized = (Model(base=str(tiny_model), load_in_4bit=enabled) for enabled in (False, True))
    assert compute_model_hash(plain) != compute_model_hash(quantized)


def test_a_study_is_refused_if_bitsandbytes_is_missing(quantized_study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.models.quantization.importlib.util.find_spec", lambda name: None)
    study = Study.parse(quantized_study)
    with pytest.raises(ModelError, match=r"load_in_4bit: the package bitsandbytes is missing.*\[quantization\]"):
        preflight_quantization(study, build_plan(study))


def test_trainings_of_all_weights_and_sharded_weights_are_refused(
    quantized_study: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantization_checks, "require_bitsandbytes", lambda: None)
    study = Study.parse(quantized_study)
    preflight_quantization(study, build_plan(study))
    full = Study.parse(quantized_study, ["training.sft.lora_r=0"])
    with pytest.raises(StudyError, match=r"sft.student: trains all weights \(lora_r: 0\), and 4-bit .* set lora_r"):
        preflight_quantization(full, build_plan(full))
    # without the weak model, whose `layers` are refused as well
    deep = Study.parse(quantized_study.replace("layers: 1, ", ""))
    with pytest.raises(StudyError, match=r"--shard: sft.student trains on 4-bit weights, .* leave out load_in_4bit"):
        preflight_sharding(deep, build_plan(deep), replace(runtime, world_size=2, shard=True))


def test_a_reward_model_as_scorer_is_refused() -> None:
    with pytest.raises(StudyError, match="load_in_4bit is not supported for reward models"):
        validate_settings(RewardModel, {"model": {"base": "org/name", "load_in_4bit": True}})


@pytest.fixture(scope="session")
def quantized_run(quantized_study: str, run_whole: Callable[..., tuple[Study, Path]]) -> Path:
    return run_whole(quantized_study)[1]


def find_student(run: Path, arm: str = "human") -> ModelRef:
    row = load_run_index(run).find_row(arm)
    assert row is not None and row.training is not None
    return ModelRef(open_artifact(run / "stages" / row.training).folder)


def read_logprobs(model: Any, texts: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(input_ids=torch.tensor([text])).logits.log_softmax(-1).flatten() for text in texts])


@needs_bitsandbytes
def test_a_student_has_4_bit_weights_and_its_own_adapter(quantized_run: Path, runtime: Runtime) -> None:
    student = find_student(quantized_run)
    assert student.parent is not None and student.parent.root_settings.load_in_4bit
    model = student.load(runtime.notify, "cpu", merge=True).model  # a merged model would have weights of full size
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    assert layer.base_layer.weight.dtype == torch.uint8
    assert layer.base_layer.weight.numel() == 32 * 32 // 2
    assert any(float(weight.abs().max()) > 0 for name, weight in model.named_parameters() if "lora_B" in name)


@needs_bitsandbytes
@pytest.mark.parametrize("arm", ["human", "sft"])
def test_an_exported_student_computes_what_the_4_bit_student_does(
    quantized_run: Path, runtime: Runtime, tmp_path: Path, arm: str
) -> None:
    from transformers import AutoModelForCausalLM

    export_model(quantized_run, arm, tmp_path / "student", runtime.notify)
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "student").eval()
    assert not hasattr(exported.config, "quantization_config")
    assert exported.model.layers[0].self_attn.q_proj.weight.dtype == torch.float32
    student = find_student(quantized_run, arm).load(runtime.notify, "cpu")
    split = open_artifact(quantized_run / "stages" / load_run_index(quantized_run).split)
    texts = [student.chat.tokenizer.encode(pair.a)[:60] for pair in load_split_pairs(split, "test")]
    expected = read_logprobs(student.model, texts)
    assert torch.allclose(read_logprobs(exported, texts), expected, atol=1e-5)
    plain = AutoModelForCausalLM.from_pretrained(Study.load(quantized_run / "study.yaml").models.student.base).eval()
    assert not torch.allclose(read_logprobs(plain, texts), expected, atol=1e-3)


@needs_bitsandbytes
def test_layers_that_cannot_be_quantized_are_refused(tiny_model: Path, runtime: Runtime, tmp_path: Path) -> None:
    import shutil

    from transformers import GPT2Config, GPT2LMHeadModel

    folder = shutil.copytree(tiny_model, tmp_path / "gpt2", ignore=shutil.ignore_patterns("*.safetensors", "config*"))
    GPT2LMHeadModel(GPT2Config(vocab_size=259, n_embd=32, n_layer=1, n_head=4, n_positions=64)).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"load_in_4bit: gpt2 \(GPT2LMHeadModel\) has no plain linear layers"):
        ModelRef(Model(base=str(folder), load_in_4bit=True)).load(runtime.notify, "cpu")
