"""Convert a .gguf file to a folder of safetensors, once, so that later loads take a second and any trainer can use it."""

from __future__ import annotations

import contextlib
import io
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
from trimtab.models.sources.gguf_bounds import require_gguf_bounds
from trimtab.models.sources.origin import LICENSE_NOT_STATED, require_intact_weights, write_origin

CONVERTER_VERSION = 1  # bump when a conversion of the same .gguf file gives different weights or another tokenizer

Notify = Callable[[str], None]
FetchGguf = Callable[[Path], Path]
"""Takes an empty scratch folder and returns the path of the .gguf file, in the scratch folder or elsewhere."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata of a .gguf file: its number of parameters and its license, or `not stated`."""

    num_parameters: int
    license: str


@dataclass(frozen=True, slots=True)
class LocalGguf:
    """A .gguf file on this machine. `sha256` is its expected hash, or None if not pinned."""

    file: Path
    sha256: str | None = None

    @property
    def name(self) -> str:
        return self.file.stem

    def content_hash(self) -> str:
        sha256 = compute_sha256_cached(self.file)
        if self.sha256 is not None:
            require_sha256(self.file, sha256, self.sha256)
        return compute_gguf_hash(sha256)

    def find_folder(self) -> Path:
        """The folder for the converted weights, which may not exist yet."""
        return get_converted_dir(self.name, compute_sha256_cached(self.file))

    def fetch(self, notify: Notify) -> Path:
        """The folder of the converted weights."""
        self.content_hash()
        return ensure_converted(self.name, compute_sha256_cached(self.file), lambda _: self.file, notify)


def compute_gguf_hash(sha256: str) -> str:
    """The content hash of converted weights: the bytes of the .gguf file and the version of the converter."""
    return f"{sha256}+gguf{CONVERTER_VERSION}"


def get_converted_dir(name: str, sha256: str) -> Path:
    """The folder for the converted weights of this .gguf file. It may not exist yet."""
    return get_models_dir() / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{sha256[:12]}-v{CONVERTER_VERSION}"


def ensure_converted(name: str, sha256: str, fetch_gguf: FetchGguf, notify: Notify, license_name: str = "") -> Path:
    """The folder of converted weights, converted now if necessary. A second process waits for the first to finish.

    `fetch_gguf` is called only if a conversion is needed, with a scratch folder that is deleted afterwards. Files that it
    writes to `scratch/notices` are copied to the weights.
    """
    folder = get_converted_dir(name, sha256)
    if folder.is_dir():
        require_intact_weights(folder, {"sha256": sha256, "converter": CONVERTER_VERSION}, notify)
        return folder
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():
            scratch = reset_scratch_dir(folder.parent / f".{folder.name}.partial")
            try:
                gguf = fetch_gguf(scratch)
                require_sha256(gguf, compute_sha256(gguf), sha256)
                header = read_gguf_header(gguf)
                _convert_with_notices(name, gguf, header, scratch, notify)
                origin = {"name": name, "file": gguf.name, "sha256": sha256, "converter": CONVERTER_VERSION}
                write_origin(scratch / "model", {**origin, "license": license_name or header.license})
                (scratch / "model").rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return folder


def reset_scratch_dir(folder: Path) -> Path:
    """Creates the folder, or empties it if a killed run left files."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "notices").mkdir(parents=True)
    return folder


def require_sha256(file: Path, actual: str, expected: str) -> None:
    """Raise `ModelError` unless both hashes are equal."""
    if actual != expected:
        raise ModelError(
            f"{file.name}: its SHA-256 is {actual}, but {expected} was expected; this is not the requested file"
        )


def _convert_with_notices(name: str, gguf: Path, header: GgufHeader, scratch: Path, notify: Notify) -> None:
    require_disk_space(scratch, 2 * header.num_parameters, f"the converted weights of {name}")
    notify(f"{name}: converting {gguf.name} to safetensors ({header.num_parameters / 1e6:,.0f} million parameters)")
    convert_gguf(gguf, scratch / "model")
    for notice in sorted((scratch / "notices").iterdir()):
        shutil.copy(notice, scratch / "model" / notice.name)


def read_gguf_header(gguf: Path) -> GgufHeader:
    """Read the metadata. Raises `ModelError` if the file is not GGUF or is truncated."""
    from gguf import GGUFReader

    require_gguf_bounds(gguf)
    try:
        reader = GGUFReader(gguf)
        field = reader.fields.get("general.license")
        license_name = str(field.contents()) if field is not None else LICENSE_NOT_STATED
    except Exception as error:  # the library raises errors of many types
        raise ModelError(f"{gguf}: not a readable .gguf file: {error}; download it again") from error
    return GgufHeader(num_parameters=sum(int(tensor.n_elements) for tensor in reader.tensors), license=license_name)


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the dequantized weights (bfloat16 safetensors), configuration and tokenizer of a .gguf file to a folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    # Without `dequantize` the model stays marked as quantized and can be neither saved nor trained.
    dense = GgufConfig(gguf_file=gguf.name, dequantize=True)
    try:
        # No transformers setting disables the progress bar of the conversion; it always goes to standard error.
        with silence_transformers(), contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
            model, info = AutoModelForCausalLM.from_pretrained(
                gguf.parent, dtype=torch.bfloat16, quantization_config=dense, output_loading_info=True, **source
            )
    except Exception as error:  # the library raises errors of many types
        raise ModelError(f"{gguf}: transformers cannot convert this .gguf file: {error}") from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])[0]
        raise ModelError(f"{gguf}: lacks {missing}; this is not a complete causal language model")
    with silence_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
