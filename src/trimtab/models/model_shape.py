"""The sizes of a model that its memory depends on: from config.json and the headers of its weight files, without weights."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from trimtab.models.config import Model, ResolvedWeights, select_source
from trimtab.models.weight_headers import get_layer_index, read_shapes

# Bytes of a quantized weight: 4 bits, an 8-bit scale for 64 weights, and a float32 scale for 256 of these.
QUANTIZED_BYTES = 1 / 2 + 1 / 64 + 4 / (64 * 256)
BYTES_PER_VALUE = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Sizes of a model. `linear` has the name, without its path, and the (outputs, inputs) of each linear layer in the decoder
    layers."""

    parameters: int
    linear: tuple[tuple[str, int, int], ...]
    num_layers: int
    num_heads: int
    hidden_size: int
    vocab_size: int

    @property
    def linear_width(self) -> int:
        """The sum of inputs and outputs over all linear layers: the values that a training keeps for each token."""
        return self.measure_linear_width(None)

    def measure_linear_width(self, names: Collection[str] | None) -> int:
        """The sum of inputs and outputs over the linear layers with these names; None for all."""
        return sum(outputs + inputs for name, outputs, inputs in self.linear if names is None or name in names)

    def count_weight_bytes(self, value_bytes: int, *, load_in_4bit: bool = False) -> int:
        """Bytes of the weights in memory."""
        quantized = sum(outputs * inputs for _, outputs, inputs in self.linear) if load_in_4bit else 0
        return round((self.parameters - quantized) * value_bytes + quantized * QUANTIZED_BYTES)


def read_model_shape(model: Model) -> ModelShape | None:
    """The shape without layers that the settings remove. None if the weights are not on this disk yet.

    Raises `ModelError` if the files are damaged.
    """
    from trimtab.models.loading import load_config

    source = select_source(model)
    folder = source.find_folder()
    if folder is None or not folder.is_dir():
        return None
    shapes = {
        name: shape
        for name, shape in read_shapes(folder).items()
        if model.layers is None or get_layer_index(name) < model.layers
    }
    weights = ResolvedWeights(folder=folder, content_hash="", name=source.name, license="")
    config = load_config(model, weights).get_text_config()
    return ModelShape(
        parameters=sum(map(math.prod, shapes.values())),
        linear=tuple(
            (name.split(".")[-2], shape[0], shape[1])
            for name, shape in shapes.items()
            if name.endswith(".weight") and len(shape) == 2 and get_layer_index(name) >= 0
        ),
        num_layers=model.layers or config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
    )
