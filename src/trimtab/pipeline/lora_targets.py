"""Checks before any work that the layers which LoRA settings name exist in the models that are trained."""

from __future__ import annotations

from trimtab.config.study import Study
from trimtab.errors import ModelError
from trimtab.models.linear_modules import require_lora_targets
from trimtab.models.references import ModelRef
from trimtab.pipeline.plan import Plan, required_models


def preflight_lora_targets(study: Study, plan: Plan) -> None:
    """Raises `ModelError` for a name in `lora_target_modules` that a trained model does not have."""
    models = {ModelRef(model).content_hash: model for model in required_models(study)}
    for stage in plan.stages:
        names = stage.training.lora_target_modules if stage.training else None
        if names and stage.model_hash in models:
            try:
                require_lora_targets(models[stage.model_hash], names)
            except ModelError as error:
                raise ModelError(f"{stage.name}: lora_target_modules: {error}") from error
