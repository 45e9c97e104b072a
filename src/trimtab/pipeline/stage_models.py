"""Models of stages: published models outside the study, or models that another stage of the study trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.core.runtime import Runtime
from trimtab.models.config import Model
from trimtab.models.references import ModelRef
from trimtab.pipeline.stage import Stage, StageInputs

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.models.lazy_model import LazyModel

# A published model, or the stage that trains the model.
ModelSource = Model | Stage


def as_input_stages(model: ModelSource, name: str = "model") -> dict[str, Stage]:
    """The stage that trains the model as a stage input, or nothing for a published model."""
    return {name: model} if isinstance(model, Stage) else {}


def as_external_hashes(model: ModelSource, name: str = "model") -> dict[str, str]:
    """The content hash of a published model, or nothing for a model that a stage trains."""
    return {name: ModelRef(model).content_hash} if isinstance(model, Model) else {}


def resolve_model(model: ModelSource, inputs: StageInputs, name: str = "model") -> ModelRef:
    """The reference to load the model with. `name` is the input of the stage that trained it."""
    return ModelRef(inputs[name].folder if isinstance(model, Stage) else model)


def load_model_source(
    model: ModelSource, inputs: StageInputs, runtime: Runtime, name: str = "model", *, merge: bool = False
) -> LoadedModel:
    return resolve_model(model, inputs, name).load(runtime.notify, runtime.device, merge=merge)


def open_lazy_source(model: ModelSource, inputs: StageInputs, runtime: Runtime, name: str = "model") -> LazyModel:
    return resolve_model(model, inputs, name).lazy(runtime.notify, runtime.device)


def resolve_adapter_base(model: ModelSource, inputs: StageInputs, name: str = "model") -> Model | Path:
    return resolve_model(model, inputs, name).source
