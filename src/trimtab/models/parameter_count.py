"""Count a model's parameters from the headers of its weight files, without loading or downloading anything."""

from __future__ import annotations

import math

from trimtab.models.config import Model, select_source
from trimtab.models.weight_headers import get_layer_index, read_shapes


def count_parameters(model: Model) -> int | None:
    """The number of parameters without layers that the settings remove. None if the weights are not on this disk yet."""
    folder = select_source(model).find_folder()
    if folder is None or not folder.is_dir():
        return None
    return sum(
        math.prod(shape)
        for name, shape in read_shapes(folder).items()
        if model.layers is None or get_layer_index(name) < model.layers
    )
