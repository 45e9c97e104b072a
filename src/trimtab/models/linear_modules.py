"""Names of a model's linear layers, which adapters are added to."""

from __future__ import annotations

from collections.abc import Collection

from trimtab.errors import ModelError
from trimtab.models.config import Model, select_source
from trimtab.models.weight_headers import get_layer_index, read_shapes


def require_lora_targets(model: Model, names: Collection[str]) -> None:
    """Raises `ModelError` if a name is not that of linear layers in the model's decoder layers.

    Names are read from the headers of the weight files. Nothing is checked if these are not on this disk.
    """
    available = list_linear_modules(model)
    unknown = [name for name in names if name not in available]
    if available and unknown:
        raise ModelError(
            f"{model.base} has no linear layer {' or '.join(map(repr, unknown))} (there are: {', '.join(available)})"
        )


def list_linear_modules(model: Model) -> list[str]:
    """The names of the linear layers in decoder layers, without their path, sorted; empty if no weights are on this disk."""
    folder = select_source(model).find_folder()
    if folder is None or not folder.is_dir():
        return []
    return sorted(
        {
            name.split(".")[-2]
            for name, shape in read_shapes(folder).items()
            if name.endswith(".weight") and len(shape) == 2 and get_layer_index(name) >= 0
        }
    )
