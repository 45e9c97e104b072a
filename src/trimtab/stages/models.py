"""What stages say of models: `Model` settings name weights outside the study, a `Stage` those that it trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.lm.weights import Model
from trimtab.protocols import Runtime
from trimtab.stages.stage import Inputs, Stage, model_identity

if TYPE_CHECKING:
    from trimtab.lm.models import Loaded
    from trimtab.lm.unopened import Unopened

ModelSource = Model | Stage


def needs(model: ModelSource, name: str = "model") -> dict[str, Stage]:
    return {name: model} if isinstance(model, Stage) else {}


def identities(model: ModelSource, name: str = "model") -> dict[str, str]:
    return {name: model_identity(model)} if isinstance(model, Model) else {}


def load(model: ModelSource, inputs: Inputs, runtime: Runtime, name: str = "model", *, merge: bool = False) -> Loaded:
    from trimtab.lm.models import open_base, open_trained

    if isinstance(model, Stage):
        return open_trained(inputs[name].folder, runtime.notify, runtime.device, merge=merge)
    return open_base(model, runtime.notify, runtime.device)


def unopened(model: ModelSource, inputs: Inputs, runtime: Runtime, name: str = "model") -> Unopened:
    """The model, whose weights are loaded when they are needed."""
    from trimtab.lm.unopened import unopened_base, unopened_trained

    if isinstance(model, Stage):
        return unopened_trained(inputs[name].folder, runtime.notify, runtime.device)
    return unopened_base(model, runtime.notify, runtime.device)


def base_of(model: ModelSource, inputs: Inputs, name: str = "model") -> Model | Path:
    """What an adapter trained on this model goes on."""
    return inputs[name].folder if isinstance(model, Stage) else model
