"""Count a model's parameters from the headers of its weight files, without loading or downloading anything."""

from __future__ import annotations

import math
from pathlib import Path

from trimtab.models.config import Model, compute_model_hash, resolve_weights, select_source
from trimtab.models.sources.adapter_dir import AdapterDir
from trimtab.models.sources.download_cache import compute_sha256_cached
from trimtab.models.sources.gguf import get_converted_dir
from trimtab.models.sources.pypi import PYPI_PREFIX, PyPIWeights
from trimtab.models.sources.registry import REGISTERED_MODELS
from trimtab.models.weight_headers import get_layer_index, read_shapes


def count_parameters(model: Model) -> int | None:
    """The number of parameters without layers that the settings remove. None if the weights are not on this disk yet."""
    folder = _find_local_dir(model)
    if folder is None or not folder.is_dir():
        return None
    return sum(
        math.prod(shape)
        for name, shape in read_shapes(folder).items()
        if model.layers is None or get_layer_index(name) < model.layers
    )


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
        local = select_source(model)
        return local.merged_dir() if isinstance(local, AdapterDir) else path
    return None if compute_model_hash(model) is None else resolve_weights(model, _ignore_message).folder


def _ignore_message(message: str) -> None:
    del message
