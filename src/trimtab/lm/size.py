"""How many parameters a model has, told from the headers of its weights: nothing is loaded and nothing is fetched."""

from __future__ import annotations

import math
import re
from pathlib import Path

from safetensors import safe_open

from trimtab.lm.cache import remembered_sha256
from trimtab.lm.gguf import converted_folder
from trimtab.lm.known import KNOWN
from trimtab.lm.pypi import PREFIX, Packaged
from trimtab.lm.weights import Model, identity, resolve

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")


def parameters(model: Model) -> int | None:
    """The parameters that are used, without layers that the settings cut off; None where the weights are not here yet."""
    folder = _here(model)
    if folder is None or not folder.is_dir():
        return None
    return sum(_count(file, model.layers) for file in folder.glob("*.safetensors"))


def _count(file: Path, layers: int | None) -> int:
    with safe_open(file, framework="numpy") as tensors:
        kept = [name for name in tensors.keys() if layers is None or _layer(name) < layers]  # noqa: SIM118 - no iterator
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in kept)


def _layer(name: str) -> int:
    """The decoder layer that a tensor belongs to, -1 where it belongs to none."""
    found = _LAYER.search(name)
    return int(found[1]) if found else -1


def _here(model: Model) -> Path | None:
    """The folder in which the weights lie, or would lie once converted; None where nobody can tell without fetching."""
    path = Path(model.base).expanduser()
    if model.base in KNOWN:
        return converted_folder(model.base, KNOWN[model.base].sha256)
    if model.base.startswith(PREFIX):
        packaged = Packaged.parse(model.base, model.sha256)
        return None if packaged.sha256 is None else converted_folder(packaged.name, packaged.sha256)
    if path.is_file():
        return converted_folder(path.stem, remembered_sha256(path))
    if path.is_dir():
        return path
    return None if identity(model) is None else resolve(model, _unheard).folder


def _unheard(message: str) -> None:
    del message
