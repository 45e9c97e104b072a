"""Models of stages: published models outside the study, or models that another stage of the study trains."""

from __future__ import annotations

from trimtab.models.config import Model
from trimtab.models.references import ModelRef
from trimtab.pipeline.stage import Stage, StageInputs

# A published model, or the stage that trains the model.
ModelSource = Model | Stage


def is_same_model(first: ModelSource, second: ModelSource) -> bool:
    """Whether both are the same published model, or stages that train the same model."""
    if isinstance(first, Stage) and isinstance(second, Stage):
        return first.fingerprint == second.fingerprint
    return not isinstance(first, Stage) and first == second


def as_input_stages(model: ModelSource, name: str = "model") -> dict[str, Stage]:
    """The stage that trains the model, as a stage input; empty for a published model."""
    return {name: model} if isinstance(model, Stage) else {}


def as_external_hashes(model: ModelSource, name: str = "model") -> dict[str, str]:
    """The content hash of a published model, or nothing for a model that a stage trains."""
    return {name: ModelRef(model).content_hash} if isinstance(model, Model) else {}


def resolve_model(model: ModelSource, inputs: StageInputs, name: str = "model") -> ModelRef:
    """The reference to load the model with. `name` is the input of the stage that trained it."""
    return ModelRef(inputs[name].folder if isinstance(model, Stage) else model)
