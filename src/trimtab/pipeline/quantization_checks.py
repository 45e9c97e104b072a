"""Checks before any work that the models with `load_in_4bit` can be loaded and trained."""

from __future__ import annotations

from trimtab.config.study import Study
from trimtab.errors import StudyError
from trimtab.models.quantization import require_bitsandbytes
from trimtab.models.references import ModelRef
from trimtab.pipeline.plan import Plan, required_models


def preflight_quantization(study: Study, plan: Plan) -> None:
    """Raises `ModelError` if bitsandbytes is missing, and `StudyError` for a training of all weights."""
    quantized = {ModelRef(model).content_hash for model in required_models(study) if model.load_in_4bit}
    if quantized:
        require_bitsandbytes()
    for stage in plan.stages:
        if stage.training is not None and stage.training.lora_r == 0 and stage.model_hash in quantized:
            raise StudyError(
                f"{stage.name}: trains all weights (lora_r: 0), and 4-bit weights cannot be trained; set lora_r, or leave out "
                "load_in_4bit"
            )
