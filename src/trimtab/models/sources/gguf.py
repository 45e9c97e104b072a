"""From a .gguf file to a folder of safetensors, once, so that every later load takes a second and any trainer works."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from trimtab.errors import ModelError
from trimtab.models.silence_transformers import silence_transformers
from trimtab.models.sources.download_cache import (
    compute_sha256,
    compute_sha256_cached,
    get_models_dir,
    require_disk_space,
)

CONVERTER_VERSION = 1  # bump when the same .gguf file comes to be converted to other weights or another tokenizer
ORIGIN_FILE = "origin.json"
LICENSE_NOT_STATED = "not stated"

Notify = Callable[[str], None]
FetchGguf = Callable[[Path], Path]
"""Puts the .gguf file somewhere below the given empty folder, or finds it elsewhere, and says where it is."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a .gguf file says of itself: how many parameters it holds and under which license, where stated."""

    num_parameters: int
    license: str


@dataclass(frozen=True, slots=True)
class LocalGguf:
    """A .gguf file on this machine. `sha256` is what its bytes must hash to, None where any will do."""

    file: Path
    sha256: str | None = None

    @property
    def name(self) -> str:
        return self.file.stem

    def content_hash(self) -> str:
        found = compute_sha256_cached(self.file)
        if self.sha256 is not None:
            require_sha256(self.file, found, self.sha256)
        return compute_gguf_hash(found)

    def fetch(self, notify: Notify) -> Path:
        """The folder of its converted weights."""
        self.content_hash()
        return ensure_converted(self.name, compute_sha256_cached(self.file), lambda _: self.file, notify)


def compute_gguf_hash(sha256: str) -> str:
    """What converted weights depend on: the bytes of the file and the way they are converted."""
    return f"{sha256}+gguf{CONVERTER_VERSION}"


def get_converted_dir(name: str, sha256: str) -> Path:
    """Where the weights of this .gguf file are, or will be, in safetensors form."""
    return get_models_dir() / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{sha256[:12]}-v{CONVERTER_VERSION}"


def ensure_converted(name: str, sha256: str, fetch_gguf: FetchGguf, notify: Notify, license_name: str = "") -> Path:
    """The folder of converted weights, made if it is not there; of two processes one converts and the other waits.

    `obtain` is called only if there is something to convert, with a scratch folder that is removed afterwards; files
    that it leaves in `scratch/notices` are kept with the weights.
    """
    folder = get_converted_dir(name, sha256)
    if folder.is_dir():
        return folder
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():
            scratch = reset_scratch_dir(folder.parent / f".{folder.name}.partial")
            try:
                gguf = fetch_gguf(scratch)
                require_sha256(gguf, compute_sha256(gguf), sha256)
                header = read_gguf_header(gguf)
                _convert_with_notices(name, gguf, header, scratch, notify)
                _write_origin(scratch / "model", name, gguf.name, sha256, license_name or header.license)
                (scratch / "model").rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return folder


def reset_scratch_dir(folder: Path) -> Path:
    """The folder, made anew without what a killed run left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "notices").mkdir(parents=True)
    return folder


def require_sha256(file: Path, found: str, expected: str) -> None:
    """Raise `ModelError` unless both hashes are the same."""
    if found != expected:
        raise ModelError(
            f"{file.name}: its sha256 is {found}, and {expected} was expected; it is not the file asked for"
        )


def read_license(folder: Path) -> str:
    """The license written down when the folder was converted, or `not stated`."""
    try:
        return str(json.loads((folder / ORIGIN_FILE).read_text(encoding="utf-8"))["license"])
    except FileNotFoundError:
        return LICENSE_NOT_STATED


def _convert_with_notices(name: str, gguf: Path, header: GgufHeader, scratch: Path, notify: Notify) -> None:
    require_disk_space(scratch, 2 * header.num_parameters, f"the converted weights of {name}")
    notify(
        f"{name}: converting {gguf.name} to safetensors, once ({header.num_parameters / 1e6:,.0f} million parameters)"
    )
    convert_gguf(gguf, scratch / "model")
    for notice in sorted((scratch / "notices").iterdir()):
        shutil.copy(notice, scratch / "model" / notice.name)


def _write_origin(folder: Path, name: str, file: str, sha256: str, license_name: str) -> None:
    origin = {"name": name, "file": file, "sha256": sha256, "license": license_name, "converter": CONVERTER_VERSION}
    (folder / ORIGIN_FILE).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")


def read_gguf_header(gguf: Path) -> GgufHeader:
    """Raises `ModelError` if the file is not GGUF, or is cut short."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(gguf)
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise ModelError(f"{gguf}: not a readable .gguf file: {error}") from error
    field = reader.fields.get("general.license")
    return GgufHeader(
        num_parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        license=str(field.contents()) if field is not None else LICENSE_NOT_STATED,
    )


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the dequantized weights (bfloat16 safetensors), configuration and tokenizer of a .gguf file to a folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    # Without `dequantize` the model keeps a quantized mark that forbids saving it and training it.
    dense = GgufConfig(gguf_file=gguf.name, dequantize=True)
    try:
        # The bar of the conversion obeys no switch of transformers; it goes wherever standard error points.
        with silence_transformers(), contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
            model, found = AutoModelForCausalLM.from_pretrained(
                gguf.parent, dtype=torch.bfloat16, quantization_config=dense, output_loading_info=True, **place
            )
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{gguf}: transformers cannot convert this .gguf file: {error}") from error
    if found["missing_keys"]:
        raise ModelError(
            f"{gguf}: holds no {sorted(found['missing_keys'])[0]}; it is not a whole causal language model"
        )
    with silence_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
