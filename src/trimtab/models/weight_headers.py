"""Names and shapes of the tensors in safetensors files, from their headers alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from trimtab.errors import ModelError

_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)\.")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings)\.weight$")


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in the folder's safetensors files, by name. Raises `ModelError` if a file is damaged."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except Exception as error:  # the library raises errors of its own
            raise ModelError(
                f"{file}: not a readable safetensors file: {error}; it is damaged or incomplete, copy or download it again"
            ) from error
    return shapes


def get_layer_index(name: str) -> int:
    """The layer that a tensor belongs to, or -1."""
    match = _LAYER.search(name)
    return int(match[1]) if match else -1


def require_config_sizes(folder: Path, config: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `ModelError` if the configuration has more layers or another number of tokens than the weights in `folder`.

    `shapes` are those of its tensors. Building such a model could allocate any amount of memory before the weights are missed.
    """
    text_config = config.get_text_config()
    num_layers = 1 + max(map(get_layer_index, shapes), default=-1)
    stated: Any = getattr(text_config, "num_hidden_layers", None)
    if num_layers and isinstance(stated, int) and stated > num_layers:
        raise ModelError(
            f"{folder}: config.json has {stated} layers (num_hidden_layers), but the weights have {num_layers}; "
            "use the config.json that was published with the weights"
        )
    vocabulary: Any = getattr(text_config, "vocab_size", None)
    for name, shape in shapes.items():
        if _EMBEDDING.search(name) and isinstance(vocabulary, int) and shape[:1] != (vocabulary,):
            raise ModelError(
                f"{folder}: config.json has {vocabulary} tokens (vocab_size), but {name} has {shape[0]} rows; "
                "use the config.json that was published with the weights"
            )
