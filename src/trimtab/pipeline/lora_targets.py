"""Checks before any work that the layers which LoRA settings name exist in the models that are trained."""

from __future__ import annotations

from trimtab.config.study import Study
from trimtab.errors import ModelError
from trimtab.models.linear_modules import require_lora_targets
from trimtab.models.references import ModelRef
from trimtab.pipeline.plan import Plan, required_models
from trimtab.pipeline.stage import Stage


def preflight_lora_targets(study: Study, plan: Plan) -> None:
    """Raises `ModelError` for a name in `lora_target_modules` that a trained model does not have."""
    models = {ModelRef(model).content_hash: model for model in required_models(study)}
    for stage in plan.stages:
        names = _list_lora_targets(stage)
        if names and stage.model_hash in models:
            try:
                require_lora_targets(models[stage.model_hash], names)
            except ModelError as error:
                raise ModelError(f"{stage.name}: lora_target_modules: {error}") from error


def _list_lora_targets(stage: Stage) -> list[str]:
    recipe = stage.settings.get("recipe") or stage.settings.get("scorer", {}).get("training", {})
    return list(recipe.get("lora_target_modules", ())) if stage.role == "training" else []
