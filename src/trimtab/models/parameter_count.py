"""Count a model's parameters from the headers of its weight files, without loading or downloading anything."""

from __future__ import annotations

import math
import re
from pathlib import Path

from safetensors import safe_open

from trimtab.models.config import Model, compute_model_hash, resolve_weights
from trimtab.models.sources.download_cache import compute_sha256_cached
from trimtab.models.sources.gguf import get_converted_dir
from trimtab.models.sources.pypi import PYPI_PREFIX, PyPIWeights
from trimtab.models.sources.registry import REGISTERED_MODELS

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")


def count_parameters(model: Model) -> int | None:
    """The number of parameters without layers that the settings remove. None if the weights are not on this disk yet."""
    folder = _find_local_dir(model)
    if folder is None or not folder.is_dir():
        return None
    return sum(_count_in_file(file, model.layers) for file in folder.glob("*.safetensors"))


def _count_in_file(file: Path, num_layers: int | None) -> int:
    with safe_open(file, framework="numpy") as tensors:
        names = [
            name
            for name in tensors.keys()  # noqa: SIM118 - not iterable
            if num_layers is None or _layer_index(name) < num_layers
        ]
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)


def _layer_index(name: str) -> int:
    """The decoder layer that a tensor belongs to, or -1."""
    match = _LAYER.search(name)
    return int(match[1]) if match else -1


def _find_local_dir(model: Model) -> Path | None:
    """The folder of the weights, which may not have been converted yet. None if it cannot be known without a download."""
    path = Path(model.base).expanduser()
    if model.base in REGISTERED_MODELS:
        return get_converted_dir(model.base, REGISTERED_MODELS[model.base].sha256)
    if model.base.startswith(PYPI_PREFIX):
        source = PyPIWeights.parse(model.base, model.sha256)
        return None if source.sha256 is None else get_converted_dir(source.name, source.sha256)
    if path.is_file():
        return get_converted_dir(path.stem, compute_sha256_cached(path))
    if path.is_dir():
        return path
    return None if compute_model_hash(model) is None else resolve_weights(model, _ignore_message).folder


def _ignore_message(message: str) -> None:
    del message
