"""A local folder with a LoRA adapter: merged once with its base to a folder of safetensors, as a .gguf file is converted."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from trimtab.errors import ModelError
from trimtab.models.silence_transformers import silence_transformers
from trimtab.models.sources.download_cache import compute_sha256_cached, get_models_dir, require_disk_space
from trimtab.models.sources.gguf import Notify
from trimtab.models.sources.local_dir import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    INDEX_FILE,
    NOTICE_PATTERNS,
    TOKENIZER_PATTERNS,
    copy_files,
    folder_hash,
    has_tokenizer_files,
    read_json_object,
)
from trimtab.models.sources.origin import ORIGIN_FILE, read_license, require_intact_weights, write_origin

if TYPE_CHECKING:
    from trimtab.models.config import WeightSource

MERGE_VERSION = 2  # bump when merging the same files gives different weights
_LANGUAGE_MODEL_TASKS = (None, "CAUSAL_LM")


@dataclass(frozen=True, slots=True)
class AdapterDir:
    """An adapter on this machine and the source of the model that it applies to.

    Its tokenizer and chat template are those in the folder, or those of the base if it has none.
    """

    path: Path
    base: WeightSource

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def content_hash(self) -> str | None:
        """The hashes of the base and of the adapter's files. None if the base has not been downloaded."""
        base_hash = self.base.content_hash()
        if base_hash is None:
            return None
        files = folder_hash(self.path, trust_remote_code=False)
        return f"{base_hash}+adapter{MERGE_VERSION}:{adapter_hash(self.path)}:{files}"

    def find_folder(self) -> Path | None:
        """The folder for the merged weights, which may not exist yet. None if the base has not been downloaded."""
        content_hash = self.content_hash()
        if content_hash is None:
            return None
        return get_models_dir() / f"{self.name}-{hashlib.sha256(content_hash.encode()).hexdigest()[:12]}-merged"

    def fetch(self, notify: Notify) -> Path:
        """The folder of the merged weights, merged now if necessary. A second process waits for the first to finish."""
        base = self.base.fetch(notify)
        folder = self.find_folder()
        if folder is None:
            raise ModelError(f"{self.path}: its base {base} was deleted while it was being read")
        if folder.is_dir():
            require_intact_weights(folder, {}, notify)
            return folder
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not folder.is_dir():
                partial = folder.parent / f".{folder.name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                try:
                    notify(f"{self.name}: merging the adapter with {self.base.name}")
                    _merge(base, self.path, partial)
                    partial.rename(folder)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
        return folder


def open_adapter_dir(path: Path, select_base: Callable[[str, str | None], WeightSource]) -> AdapterDir:
    """Read which model the adapter applies to. `select_base` finds the source of a model's name and revision.

    Raises `ModelError` if the folder is not a complete adapter for a language model.
    """
    if not (path / ADAPTER_CONFIG).is_file() or not any(path.glob(ADAPTER_WEIGHTS)):
        raise ModelError(
            f"{path} is not a complete adapter: expected {ADAPTER_CONFIG} and adapter_model.safetensors, found "
            f"{', '.join(sorted(file.name for file in path.iterdir())[:12])}"
        )
    config = read_json_object(path / ADAPTER_CONFIG)
    base, task, revision = (config.get(key) for key in ("base_model_name_or_path", "task_type", "revision"))
    if task not in _LANGUAGE_MODEL_TASKS:
        raise ModelError(
            f"{path / ADAPTER_CONFIG}: task_type is {task!r}, expected 'CAUSAL_LM'; merge this adapter with its base in peft, "
            "and give the folder of the merged model"
        )
    if not isinstance(base, str) or not base:
        raise ModelError(
            f"{path / ADAPTER_CONFIG}: base_model_name_or_path is {base!r}, expected the model that the adapter applies to: "
            "a folder, a short name or a Hub ID"
        )
    try:
        return AdapterDir(path=path, base=select_base(base, revision if isinstance(revision, str) else None))
    except (ModelError, ValueError) as error:
        raise ModelError(f"{path / ADAPTER_CONFIG}: base_model_name_or_path: {error}") from error


def adapter_hash(folder: Path) -> str:
    """Hex SHA-256 over the adapter's weights and settings, without the path of its base."""
    config = read_json_object(folder / ADAPTER_CONFIG)
    settings = {name: value for name, value in config.items() if name != "base_model_name_or_path"}
    weights = [[path.name, compute_sha256_cached(path)] for path in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256(json.dumps([settings, weights], sort_keys=True).encode()).hexdigest()


def _merge(base: Path, adapter: Path, folder: Path) -> None:
    """Write base plus adapter with their tokenizer and the base's license."""
    from trimtab.models.adapter_merge import apply_and_merge_adapter

    require_disk_space(folder.parent, sum(file.stat().st_size for file in base.glob("*.safetensors")), "merged weights")
    try:
        with silence_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # peft only warns about layers of the base that the adapter should change and does not.
            warnings.filterwarnings("error", "Found missing adapter keys")
            apply_and_merge_adapter(_load_base(base), adapter).save_pretrained(folder)
    except Exception as error:  # the libraries raise errors of many types
        raise ModelError(f"{adapter}: cannot apply the adapter to {base}: {error}") from error
    tokenizer = adapter if has_tokenizer_files(adapter) else base
    excluded = {ADAPTER_CONFIG, "config.json", "generation_config.json", INDEX_FILE, ORIGIN_FILE}
    copy_files(tokenizer, folder, TOKENIZER_PATTERNS, excluded)
    copy_files(base, folder, NOTICE_PATTERNS, excluded)
    origin = {"name": adapter.resolve().name, "base": base.name, "license": read_license(base)}
    write_origin(folder, origin)


def _load_base(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        base, dtype="auto", use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    if info["missing_keys"]:
        raise ModelError(f"it lacks {sorted(info['missing_keys'])[0]}; this is not a complete causal language model")
    return model
