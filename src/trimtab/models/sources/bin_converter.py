"""Convert .bin weights to safetensors. This module runs as a separate process, because .bin files are pickles.

`python -m trimtab.models.sources.bin_converter SOURCE TARGET RESULT NAME…` reads the named files of the folder SOURCE with
torch's restricted unpickler, which creates tensors and plain values only. Nothing is written to the folder TARGET unless the
names and shapes are those of the architecture in SOURCE/config.json. RESULT is a JSON file with `refused`, or with what was
converted.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.errors import ModelError
from trimtab.models.silence_transformers import silence_transformers
from trimtab.models.sources.download_cache import require_disk_space
from trimtab.models.sources.local_dir import INDEX_FILE, read_json_object
from trimtab.models.weight_headers import require_config_sizes

if TYPE_CHECKING:
    from torch import Tensor

_WEIGHTS_FILE = "model.safetensors"
_BLOCKED_GLOBAL = re.compile(r"GLOBAL[: ]+([\w.]+)")
_MAX_NAMES = 3


def run_conversion(arguments: Sequence[str]) -> None:
    """Convert, and write the result or the reason for the refusal to a file."""
    source, target, result, *names = arguments
    try:
        document = convert_files(Path(source), names, Path(target))
    except ModelError as error:
        document = {"refused": str(error)}
    Path(result).write_text(json.dumps(document), encoding="utf-8")


def convert_files(source: Path, names: Sequence[str], target: Path) -> dict[str, Any]:
    """Write the tensors of the named files in `source` to `target`, one safetensors file for each.

    Raises `ModelError` if a file is not a dictionary of tensors, or if the tensors are not those of the architecture.
    """
    shards = [load_tensors(source / name) for name in names]
    _require_distinct_names(names, shards)
    retained = [_drop_aliases(shard) for shard in shards]
    architecture, differences = _compare_with_architecture(source, retained)
    if differences:  # the file may share memory between tensors that the model does not share
        retained = shards
        architecture, differences = _compare_with_architecture(source, retained)
    if differences:
        raise ModelError("; ".join(differences))
    tensors = [value for shard in retained for value in shard.values()]
    num_bytes = sum(value.numel() * value.element_size() for value in tensors)
    require_disk_space(target, num_bytes, "the converted weights")
    _write_shards(retained, target)
    return {"architecture": architecture, "tensors": len(tensors), "bytes": num_bytes}


def load_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, mapped from the disk. Raises `ModelError` for anything but named dense tensors."""
    import torch

    if not zipfile.is_zipfile(file):
        raise ModelError(
            f"{file.name}: it is not a complete zip archive, as torch has written since version 1.6; it is incomplete, a "
            "pointer to the real file, or older. Download it again, or save it in a recent torch"
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # the unpickler raises errors of many types
        raise ModelError(f"{file.name}: {_explain_refusal(str(error))}") from error
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{file.name}: it contains {type(content).__name__}, expected a dictionary of tensors")
    for name, value in content.items():
        problem = _find_value_problem(name, value)
        if problem is not None:
            raise ModelError(f"{file.name}: {str(name)[:80]!r} {problem}; expected a name and a dense tensor")
    return {name: value.detach() for name, value in content.items()}


def _explain_refusal(message: str) -> str:
    blocked = _BLOCKED_GLOBAL.search(message)
    if blocked is not None:
        return (
            f"it would call {blocked[1]} when loaded, which weights do not need; the restricted unpickler refused it and "
            "nothing was run. Do not trust this file"
        )
    return f"the restricted unpickler refused it: {next(iter(message.strip().splitlines()), 'no reason given')}"


def _find_value_problem(name: object, value: object) -> str | None:
    import torch

    if not isinstance(name, str):
        return f"is a {type(name).__name__}, not a name"
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return f"is a {type(value).__name__}"
    assert isinstance(value, torch.Tensor)  # noqa: S101 - for the type checker
    if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
        return "is a sparse, quantized, complex or empty tensor"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"has the shape {tuple(value.shape)}, for which the file has too little data"
    return None


def _drop_aliases(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without those that are an earlier one under a second name, as tied weights are."""
    first_by_memory: dict[Any, str] = {}
    for name, value in tensors.items():
        memory = (value.untyped_storage().data_ptr(), value.storage_offset(), value.shape, value.stride(), value.dtype)
        first_by_memory.setdefault(memory if value.numel() else name, name)
    return {name: tensors[name] for name in first_by_memory.values()}


def _require_distinct_names(names: Sequence[str], shards: Sequence[Mapping[str, Tensor]]) -> None:
    found: dict[str, str] = {}
    for file, tensors in zip(names, shards, strict=True):
        for name in tensors:
            if name in found:
                raise ModelError(f"{file}: it contains {name!r}, as {found[name]} does; expected each tensor once")
            found[name] = file


def _compare_with_architecture(folder: Path, shards: Sequence[Mapping[str, Tensor]]) -> tuple[str, list[str]]:
    """The architecture that config.json names, and how its tensors differ from these.

    The comparison follows transformers' own rules for names, because its loader makes it: on the meta device, without memory.
    """
    import torch
    from transformers import AutoConfig

    meta = {name: torch.empty_like(value, device="meta") for shard in shards for name, value in shard.items()}
    shapes = {name: tuple(value.shape) for name, value in meta.items()}
    try:
        with silence_transformers():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            require_config_sizes(folder, config, shapes)
            model_class = _find_model_class(folder)
            _, info = model_class.from_pretrained(
                None,
                config=config,
                state_dict=meta,
                device_map={"": "meta"},
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except ModelError:
        raise
    except Exception as error:  # the library raises errors of many types
        raise ModelError(f"transformers cannot build the model of config.json: {error}") from error
    wrong_shapes = [
        f"{name} {tuple(found)} instead of {tuple(stated)}" for name, found, stated in info["mismatched_keys"]
    ]
    named = {
        "lacks": info["missing_keys"],
        "also has": info["unexpected_keys"],
        "has wrong shapes:": wrong_shapes,
        "cannot be loaded:": info["error_msgs"],
    }
    name = model_class.__name__
    return name, [
        f"it {problem} {_list_names(names)}, compared with {name}" for problem, names in named.items() if names
    ]


def _find_model_class(folder: Path) -> Any:
    import transformers

    names = read_json_object(folder / "config.json").get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    model_class = getattr(transformers, name, None) if isinstance(name, str) else None
    if not (isinstance(model_class, type) and issubclass(model_class, transformers.PreTrainedModel)):
        raise ModelError(
            f"config.json: architectures: found {names!r}, expected the name of a model in transformers; names and shapes "
            "cannot be checked without it"
        )
    return model_class


def _list_names(names: Sequence[str] | set[str]) -> str:
    shown = sorted(names)[:_MAX_NAMES]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


def _write_shards(shards: Sequence[Mapping[str, Tensor]], folder: Path) -> None:
    from safetensors.torch import save_file

    single = len(shards) == 1
    weight_map: dict[str, str] = {}
    for number, tensors in enumerate(shards, start=1):
        name = _WEIGHTS_FILE if single else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(_separate_memory(tensors), folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    if not single:
        (folder / INDEX_FILE).write_text(
            json.dumps({"metadata": {}, "weight_map": weight_map}, indent=1), encoding="utf-8"
        )


def _separate_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, contiguous, as copies where several share memory, which a safetensors file cannot."""
    used: set[int] = set()
    separate = {}
    for name, value in tensors.items():
        pointer = value.untyped_storage().data_ptr()
        separate[name] = value.clone().contiguous() if pointer in used else value.contiguous()
        used.add(pointer)
    return separate


if __name__ == "__main__":
    run_conversion(sys.argv[1:])
