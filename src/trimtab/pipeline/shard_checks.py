"""Checks before any work that `--shard` can divide the weights of every training of a study."""

from __future__ import annotations

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.models.references import ModelRef
from trimtab.pipeline.plan import Plan, required_models


def preflight_sharding(study: Study, plan: Plan, runtime: Runtime) -> None:
    """Raises `StudyError` for a single process, another device than the one that torch uses, full weights, and models with
    `layers` or `load_in_4bit`."""
    if not runtime.shard:
        return
    if runtime.world_size == 1:
        raise StudyError(
            "--shard: divides the weights among several processes; start them with torchrun, or leave out --shard"
        )
    _require_default_device(runtime.device)
    models = {ModelRef(model).content_hash: model for model in required_models(study)}
    for stage in plan.stages:
        if stage.training is None:
            continue
        if stage.training.lora_r == 0:
            raise StudyError(
                f"--shard: {stage.name} trains all weights (lora_r: 0), and only frozen weights are divided; set lora_r"
            )
        model = models.get(stage.model_hash)
        if model is not None and model.layers is not None:
            raise StudyError(
                f"--shard: {stage.name} trains the first layers of a model (`layers`), which is not supported"
            )
        if model is not None and model.load_in_4bit:
            raise StudyError(
                f"--shard: {stage.name} trains on 4-bit weights, which are not divided; leave out load_in_4bit, or --shard"
            )


def _require_default_device(device: str) -> None:
    """transformers places a sharded model on the accelerator, if there is one."""
    import torch

    accelerator = torch.accelerator.current_accelerator()
    expected = "cpu" if accelerator is None else accelerator.type
    if device.partition(":")[0] != expected or expected not in ("cpu", "cuda"):
        raise StudyError(f"--shard: needs --device cuda, or a machine without a GPU; here, the device is {device}")
