"""The estimated memory of a training is that of the tensors which it creates, and the remedies reduce it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from trimtab.config.study import Study
from trimtab.config.training import DpoSettings, RewardModelSettings, SftSettings, TrainingSettings
from trimtab.core.runtime import Runtime
from trimtab.models.adapters import add_adapter
from trimtab.models.config import Model
from trimtab.models.model_shape import ModelShape, read_model_shape
from trimtab.models.packing.layout_probe import select_layout
from trimtab.models.packing.pair_batch import TokenizedPair, collate_pairs
from trimtab.models.references import ModelRef
from trimtab.models.scoring.logprobs import ResponseLogprobs
from trimtab.pipeline.dry_run import plan_dry_run
from trimtab.training.memory_estimate import TrainingHardware, TrainingMemory, estimate_training_memory
from trimtab.workflows import training_memory
from trimtab.workflows.training_memory import describe_training_memory

FLOAT32 = TrainingHardware(value_bytes=4, token_budget=1024)


@pytest.fixture
def shape(tiny_model: Path) -> ModelShape:
    found = read_model_shape(Model(base=str(tiny_model)))
    assert found is not None
    return found


def estimate(shape: ModelShape, settings: TrainingSettings, **changes: Any) -> TrainingMemory:
    hardware = replace(FLOAT32, **{name: value for name, value in changes.items() if name != "load_in_4bit"})
    return estimate_training_memory(
        shape, settings, 512, hardware, load_in_4bit=bool(changes.get("load_in_4bit", False))
    )


@pytest.mark.parametrize("modules", [None, ("q_proj", "v_proj")])
def test_weights_and_adapter_have_their_number_of_bytes(
    tiny_model: Path, shape: ModelShape, runtime: Runtime, modules: tuple[str, ...] | None
) -> None:
    model = ModelRef(Model(base=str(tiny_model), dtype="float32")).load(runtime.notify, "cpu").model
    memory = estimate(shape, DpoSettings(lora_r=4, lora_target_modules=modules))
    assert memory.frozen == sum(weight.numel() * 4 for weight in model.parameters())
    adapted = add_adapter(model, rank=4, alpha=None, seed=0, target_modules=modules)
    # the weight, its gradient and two averages of AdamW
    assert memory.trained == sum(weight.numel() * 16 for weight in adapted.parameters() if weight.requires_grad)


def test_layers_that_a_model_does_not_keep_are_not_counted(tiny_model: Path, shape: ModelShape) -> None:
    half = read_model_shape(Model(base=str(tiny_model), layers=1))
    assert half is not None
    assert (half.num_layers, 2 * half.linear_width) == (1, shape.linear_width)
    assert read_model_shape(Model(base="org/not-on-this-disk")) is None


def test_activations_are_those_that_a_forward_pass_saves(tiny_model: Path, shape: ModelShape, runtime: Runtime) -> None:
    model = ModelRef(Model(base=str(tiny_model), dtype="float32")).load(runtime.notify, "cpu").model
    layout = select_layout(model)
    module = ResponseLogprobs(add_adapter(model, rank=4, alpha=None, seed=0))
    pair = TokenizedPair(prompt=(5,) * 256, first=(6,) * 256, second=(7,) * 256)
    saved: dict[int, int] = {}
    weights = {weight.untyped_storage().data_ptr() for weight in module.parameters()}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        kept = module(**collate_pairs([pair], layout, 0).tensors())
    assert kept.requires_grad
    memory = estimate_training_memory(shape, DpoSettings(), 384, replace(FLOAT32, token_budget=768), load_in_4bit=False)
    assert 0.6 < memory.activations / sum(saved.values()) < 1.4


def test_every_remedy_needs_less_memory(shape: ModelShape) -> None:
    dpo = DpoSettings()
    start = estimate(shape, dpo)
    assert estimate(shape, DpoSettings(gradient_checkpointing=True)).activations < 0.7 * start.activations
    assert estimate(shape, dpo, token_budget=4096).activations == 4 * start.activations
    assert estimate(shape, dpo, load_in_4bit=True).frozen < start.frozen
    assert estimate(shape, dpo, num_shards=4).frozen == start.frozen // 4
    assert estimate(shape, dpo, on_gpu=True).activations < start.activations
    assert estimate(shape, SftSettings(lora_r=8)).total < estimate(shape, SftSettings()).total
    assert estimate(shape, RewardModelSettings()).logits == 0 < start.logits
    assert estimate(shape, DpoSettings(loss_type="dr_dpo", batch_size=32)).activations == 32 * start.activations


def describe(text: str, folder: Path, runtime: Runtime, *changes: str) -> dict[str, str]:
    study = Study.parse(text, changes)
    return describe_training_memory(study, plan_dry_run(study, folder), runtime)


def test_trainings_that_do_not_fit_have_remedies_that_do(
    tiny_study: str, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_memory, "find_free_device_memory", lambda device: 750_000_000)
    fits = describe(tiny_study, tmp_path, runtime)
    assert set(fits) == {"sft.weak-model", "dpo.weak-model", "sft.student", "dpo.human, dpo.weak, dpo.flipped"}
    assert all(text.endswith("and cpu has 750 MB free") for text in fits.values())
    large = replace(runtime, token_budget=16_384)
    text = describe(tiny_study, tmp_path, large)["dpo.human, dpo.weak, dpo.flipped"]
    assert "but cpu has only 750 MB free; this would fit: a smaller --token-budget (about 7" in text
    monkeypatch.setattr(training_memory, "find_free_device_memory", lambda device: 10_000_000)
    assert describe(tiny_study, tmp_path, runtime)["sft.student"].endswith("10 MB free; use a smaller model")
    monkeypatch.setattr(training_memory, "find_free_device_memory", lambda device: None)
    assert describe(tiny_study, tmp_path, runtime) == {}


def test_finished_trainings_need_no_memory(tiny_study: str, finished_run: Path, runtime: Runtime) -> None:
    assert describe(tiny_study, finished_run, runtime) == {}
