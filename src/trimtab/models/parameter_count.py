"""How many parameters a model has, told from the headers of its weights: nothing is loaded and nothing is fetched."""

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
    """The parameters that are used, without layers that the settings cut off; None where the weights are not here yet."""
    folder = _find_local_dir(model)
    if folder is None or not folder.is_dir():
        return None
    return sum(_count_in_file(file, model.layers) for file in folder.glob("*.safetensors"))


def _count_in_file(file: Path, layers: int | None) -> int:
    with safe_open(file, framework="numpy") as tensors:
        kept = [name for name in tensors.keys() if layers is None or _layer_index(name) < layers]  # noqa: SIM118 - no iterator
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in kept)


def _layer_index(name: str) -> int:
    """The decoder layer that a tensor belongs to, -1 where it belongs to none."""
    found = _LAYER.search(name)
    return int(found[1]) if found else -1


def _find_local_dir(model: Model) -> Path | None:
    """The folder in which the weights lie, or would lie once converted; None where nobody can tell without fetching."""
    path = Path(model.base).expanduser()
    if model.base in REGISTERED_MODELS:
        return get_converted_dir(model.base, REGISTERED_MODELS[model.base].sha256)
    if model.base.startswith(PYPI_PREFIX):
        packaged = PyPIWeights.parse(model.base, model.sha256)
        return None if packaged.sha256 is None else get_converted_dir(packaged.name, packaged.sha256)
    if path.is_file():
        return get_converted_dir(path.stem, compute_sha256_cached(path))
    if path.is_dir():
        return path
    return None if compute_model_hash(model) is None else resolve_weights(model, _ignore_message).folder


def _ignore_message(message: str) -> None:
    del message
