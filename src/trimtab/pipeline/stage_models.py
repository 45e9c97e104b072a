"""What stages say of models: `Model` settings name weights outside the study, a `Stage` those that it trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.core.runtime import Runtime
from trimtab.models.config import Model
from trimtab.pipeline.stage import Stage, StageInputs, model_content_hash

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.models.lazy_model import LazyModel

ModelSource = Model | Stage


def as_input_stages(model: ModelSource, name: str = "model") -> dict[str, Stage]:
    return {name: model} if isinstance(model, Stage) else {}


def as_external_hashes(model: ModelSource, name: str = "model") -> dict[str, str]:
    return {name: model_content_hash(model)} if isinstance(model, Model) else {}


def load_model_source(
    model: ModelSource, inputs: StageInputs, runtime: Runtime, name: str = "model", *, merge: bool = False
) -> LoadedModel:
    from trimtab.models.checkpoint import load_base_model, load_trained_model

    if isinstance(model, Stage):
        return load_trained_model(inputs[name].folder, runtime.notify, runtime.device, merge=merge)
    return load_base_model(model, runtime.notify, runtime.device)


def open_lazy_source(model: ModelSource, inputs: StageInputs, runtime: Runtime, name: str = "model") -> LazyModel:
    """The model, whose weights are loaded when they are needed."""
    from trimtab.models.lazy_model import build_lazy_base_model, build_lazy_trained_model

    if isinstance(model, Stage):
        return build_lazy_trained_model(inputs[name].folder, runtime.notify, runtime.device)
    return build_lazy_base_model(model, runtime.notify, runtime.device)


def resolve_adapter_base(model: ModelSource, inputs: StageInputs, name: str = "model") -> Model | Path:
    """What an adapter trained on this model goes on."""
    return inputs[name].folder if isinstance(model, Stage) else model
