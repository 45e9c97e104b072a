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
from trimtab.lm.cache import models_folder, remembered_sha256, require_space, sha256_of
from trimtab.lm.quiet import quiet

VERSION = 1  # bump when the same .gguf file comes to be converted to other weights or another tokenizer
ORIGIN = "origin.json"
NOT_STATED = "not stated"

Notify = Callable[[str], None]
Obtain = Callable[[Path], Path]
"""Puts the .gguf file somewhere below the given empty folder, or finds it elsewhere, and says where it is."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a .gguf file says of itself: how many parameters it holds and under which license, where stated."""

    parameters: int
    license: str


@dataclass(frozen=True, slots=True)
class LocalGguf:
    """A .gguf file on this machine. `sha256` is what its bytes must hash to, None where any will do."""

    file: Path
    sha256: str | None = None

    @property
    def name(self) -> str:
        return self.file.stem

    def identity(self) -> str:
        found = remembered_sha256(self.file)
        if self.sha256 is not None:
            require_hash(self.file, found, self.sha256)
        return gguf_identity(found)

    def fetch(self, notify: Notify) -> Path:
        """The folder of its converted weights."""
        self.identity()
        return converted(self.name, remembered_sha256(self.file), lambda _: self.file, notify)


def gguf_identity(sha256: str) -> str:
    """What converted weights depend on: the bytes of the file and the way they are converted."""
    return f"{sha256}+gguf{VERSION}"


def converted_folder(name: str, sha256: str) -> Path:
    """Where the weights of this .gguf file are, or will be, in safetensors form."""
    return models_folder() / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}-{sha256[:12]}-v{VERSION}"


def converted(name: str, sha256: str, obtain: Obtain, notify: Notify, license_name: str = "") -> Path:
    """The folder of converted weights, made if it is not there; of two processes one converts and the other waits.

    `obtain` is called only if there is something to convert, with a scratch folder that is removed afterwards; files
    that it leaves in `scratch/notices` are kept with the weights.
    """
    folder = converted_folder(name, sha256)
    if folder.is_dir():
        return folder
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():
            scratch = emptied(folder.parent / f".{folder.name}.partial")
            try:
                gguf = obtain(scratch)
                require_hash(gguf, sha256_of(gguf), sha256)
                header = read_header(gguf)
                _make(name, gguf, header, scratch, notify)
                _write_origin(scratch / "model", name, gguf.name, sha256, license_name or header.license)
                (scratch / "model").rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return folder


def emptied(folder: Path) -> Path:
    """The folder, made anew without what a killed run left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "notices").mkdir(parents=True)
    return folder


def require_hash(file: Path, found: str, expected: str) -> None:
    """Raise `ModelError` unless both hashes are the same."""
    if found != expected:
        raise ModelError(
            f"{file.name}: its sha256 is {found}, and {expected} was expected; it is not the file asked for"
        )


def stated_license(folder: Path) -> str:
    """The license written down when the folder was converted, or `not stated`."""
    try:
        return str(json.loads((folder / ORIGIN).read_text(encoding="utf-8"))["license"])
    except FileNotFoundError:
        return NOT_STATED


def _make(name: str, gguf: Path, header: Header, scratch: Path, notify: Notify) -> None:
    require_space(scratch, 2 * header.parameters, f"the converted weights of {name}")
    notify(f"{name}: converting {gguf.name} to safetensors, once ({header.parameters / 1e6:,.0f} million parameters)")
    convert(gguf, scratch / "model")
    for notice in sorted((scratch / "notices").iterdir()):
        shutil.copy(notice, scratch / "model" / notice.name)


def _write_origin(folder: Path, name: str, file: str, sha256: str, license_name: str) -> None:
    origin = {"name": name, "file": file, "sha256": sha256, "license": license_name, "converter": VERSION}
    (folder / ORIGIN).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")


def read_header(gguf: Path) -> Header:
    """Raises `ModelError` if the file is not GGUF, or is cut short."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(gguf)
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise ModelError(f"{gguf}: not a readable .gguf file: {error}") from error
    field = reader.fields.get("general.license")
    return Header(
        parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        license=str(field.contents()) if field is not None else NOT_STATED,
    )


def convert(gguf: Path, folder: Path) -> None:
    """Write the dequantized weights (bfloat16 safetensors), configuration and tokenizer of a .gguf file to a folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    # Without `dequantize` the model keeps a quantized mark that forbids saving it and training it.
    dense = GgufConfig(gguf_file=gguf.name, dequantize=True)
    try:
        # The bar of the conversion obeys no switch of transformers; it goes wherever standard error points.
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
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
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
