"""Checks before any work that `--shard` can divide the weights of every training of a study."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.config.study import Study
from trimtab.config.training import DpoSettings, PreferenceModelSettings, RewardModelSettings, SftSettings
from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.models.references import ModelRef
from trimtab.pipeline.plan import Plan, required_models
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.train_preference_model import PREFERENCE_MODEL_KIND

_SETTINGS_BY_KIND: Mapping[str, type[Component]] = {
    "sft": SftSettings,
    "dpo": DpoSettings,
    "reward_model": RewardModelSettings,
    PREFERENCE_MODEL_KIND: PreferenceModelSettings,
}


def preflight_sharding(study: Study, plan: Plan, runtime: Runtime) -> None:
    """Raises `StudyError` for a single process, another device than the one that torch uses, full weights, and `layers`."""
    if not runtime.shard:
        return
    if runtime.world_size == 1:
        raise StudyError(
            "--shard: divides the weights among several processes; start them with torchrun, or leave out --shard"
        )
    _require_default_device(runtime.device)
    models = {ModelRef(model).content_hash: model for model in required_models(study)}
    for stage in plan.stages:
        if stage.role != "training":
            continue
        if _get_lora_rank(stage) == 0:
            raise StudyError(
                f"--shard: {stage.name} trains all weights (lora_r: 0), and only frozen weights are divided; set lora_r"
            )
        if stage.model_hash in models and models[stage.model_hash].layers is not None:
            raise StudyError(
                f"--shard: {stage.name} trains the first layers of a model (`layers`), which is not supported"
            )


def _get_lora_rank(stage: Stage) -> int:
    recipe = stage.settings.get("recipe") or stage.settings.get("scorer", {}).get("training", {})
    return int(recipe.get("lora_r", _SETTINGS_BY_KIND[stage.kind].model_fields["lora_r"].default))


def _require_default_device(device: str) -> None:
    """transformers places a sharded model on the accelerator, if there is one."""
    import torch

    accelerator = torch.accelerator.current_accelerator()
    expected = "cpu" if accelerator is None else accelerator.type
    if device.partition(":")[0] != expected or expected not in ("cpu", "cuda"):
        raise StudyError(f"--shard: needs --device cuda, or a machine without a GPU; here, the device is {device}")
