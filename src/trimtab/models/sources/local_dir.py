"""A local folder of safetensors: check that it is a complete model, and hash the files that loading reads."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.errors import ModelError
from trimtab.models.sources.download_cache import compute_sha256_cached

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
BIN_FILE = "pytorch_model.bin"
BIN_INDEX_FILE = "pytorch_model.bin.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model*.safetensors"
LOADED_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    INDEX_FILE,
)
# Vocabularies that some tokenizers read.
VOCABULARY_FILES = ("*.model", "*.tiktoken", "*.spm", "vocab.txt", "tekken.json", "bpe.codes")
# Files next to the weights that converted weights need: the settings and the tokenizer, and the terms of use.
TOKENIZER_PATTERNS = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.spm")
NOTICE_PATTERNS = ("LICENSE*", "NOTICE*", "*_TERMS.html")
# A tokenizer has at least one of these; settings alone would give an empty vocabulary.
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", *VOCABULARY_FILES)


@dataclass(frozen=True, slots=True)
class LocalDir:
    """A folder of safetensors on this machine. With `trust_remote_code`, its Python files are part of the model."""

    path: Path
    trust_remote_code: bool = False

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def content_hash(self) -> str:
        require_model_files(self.path)
        return folder_hash(self.path, trust_remote_code=self.trust_remote_code)

    def find_folder(self) -> Path:
        return self.path

    def fetch(self, _notify: object) -> Path:
        require_model_files(self.path)
        return self.path.resolve()


def describe_missing_files(folder: Path) -> str | None:
    """What the folder lacks to be a complete model with a tokenizer, or None."""
    if not (folder / "config.json").is_file():
        return "no config.json"
    if (folder / INDEX_FILE).is_file():
        names = list(read_weight_map(folder / INDEX_FILE, ".safetensors").values())
    else:
        names = [path.name for path in folder.glob("*.safetensors")] or list_bin_files(folder)
    if not names:
        return f"no .safetensors file and no {BIN_FILE}"
    absent = sorted({name for name in names if not (folder / name).is_file()})
    if absent:
        return f"no {', '.join(absent)}, which the index of the weights lists"
    return None if has_tokenizer_files(folder) else "no tokenizer file such as tokenizer.json or tokenizer.model"


def list_bin_files(folder: Path) -> list[str]:
    """The names of the weight files of a model in .bin format; empty if there are none. Other .bin files are never read."""
    if (folder / BIN_INDEX_FILE).is_file():
        return sorted(set(read_weight_map(folder / BIN_INDEX_FILE, ".bin").values()))
    return [BIN_FILE] if (folder / BIN_FILE).is_file() else []


def has_only_bin_weights(folder: Path) -> bool:
    """Whether the folder has weights in .bin format and no safetensors."""
    has_safetensors = (folder / INDEX_FILE).is_file() or any(folder.glob("*.safetensors"))
    return not has_safetensors and bool(list_bin_files(folder))


def has_tokenizer_files(folder: Path) -> bool:
    """Whether the folder contains the vocabulary of a tokenizer."""
    return any(next(folder.glob(pattern), None) is not None for pattern in TOKENIZER_FILES)


def require_tokenizer_files(folder: Path) -> None:
    """Raises `ModelError` if the folder has no tokenizer, because transformers would create an empty one."""
    if not has_tokenizer_files(folder):
        raise ModelError(
            f"{folder} has no tokenizer (none of {', '.join(TOKENIZER_FILES)}); copy the tokenizer files that were published "
            "with the weights into the folder"
        )


def is_adapter_dir(folder: Path) -> bool:
    """Whether the folder contains a LoRA adapter without the weights of its base.

    Raises `ModelError` if it contains both: it does not say which of them is the model.
    """
    adapter = {path.name for path in folder.glob(ADAPTER_WEIGHTS)}
    full = {path.name for path in folder.glob("*.safetensors")} - adapter | set(list_bin_files(folder))
    has_adapter = bool(adapter) or (folder / ADAPTER_CONFIG).is_file()
    if has_adapter and full:
        raise ModelError(
            f"{folder} contains both an adapter ({', '.join(sorted(adapter)) or ADAPTER_CONFIG}) and full weights "
            f"({', '.join(sorted(full))}); move one of them to a separate folder"
        )
    return has_adapter


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a model. Raises `ModelError` if it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a readable JSON file: {error}; copy or download it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: expected a JSON object, found {type(value).__name__}; copy or download it again")
    return value


def read_weight_map(path: Path, suffix: str) -> dict[str, str]:
    """The weight file of each tensor. Names with another suffix or outside the folder are rejected: no hash covers them."""
    weight_map = read_json_object(path).get("weight_map")
    names = list(weight_map.values()) if isinstance(weight_map, dict) else [None]
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(suffix):
            raise ModelError(f"{path}: weight_map: expected names of {suffix} files in the folder, found {name!r}")
    return dict(weight_map or {})


def match_files(folder: Path, patterns: Sequence[str], excluded: AbstractSet[str]) -> list[Path]:
    """The files of a folder that match a pattern, except those with an excluded name, in order."""
    files = {file for pattern in patterns for file in folder.glob(pattern)}
    return sorted(file for file in files if file.is_file() and file.name not in excluded)


def copy_files(source: Path, target: Path, patterns: Sequence[str], excluded: AbstractSet[str]) -> None:
    """Copies the files that `match_files` finds, with their paths below the folder."""
    for file in match_files(source, patterns, excluded):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)


def _require_one_set_of_weights(folder: Path) -> None:
    """Raises `ModelError` if the folder has both a single file of weights and shards: it does not say which to load."""
    index, single = folder / INDEX_FILE, folder / SINGLE_FILE
    if single.is_file() and index.is_file() and SINGLE_FILE not in read_weight_map(index, ".safetensors").values():
        raise ModelError(
            f"{folder} contains both {SINGLE_FILE} and the shards that {INDEX_FILE} lists; delete those that are not the "
            "model's"
        )


def require_model_files(folder: Path) -> None:
    """Raises `ModelError` if the folder is not a complete model. The message lists the missing and the existing files."""
    is_adapter_dir(folder)
    missing = describe_missing_files(folder)
    if missing is None:
        _require_one_set_of_weights(folder)
        return
    names = sorted(path.name for path in folder.iterdir())[:12]
    pickled = any(name.endswith((".bin", ".pt", ".pth")) for name in set(names) - set(list_bin_files(folder)))
    hint = (
        f"; weights in other pickle files than {BIN_FILE} and its shards are not read; convert them to safetensors"
        if pickled
        else ""
    )
    raise ModelError(f"{folder} is not a model: {missing} (it contains {', '.join(names) or 'nothing'}){hint}")


def folder_hash(folder: Path, *, trust_remote_code: bool) -> str:
    """Hex SHA-256 over the names and hashes of the files that loading reads. Independent of the location of the folder."""
    files = set(folder.glob("*.safetensors")) | {folder / name for name in LOADED_FILES}
    files |= {path for pattern in VOCABULARY_FILES for path in folder.glob(pattern)}
    if trust_remote_code:
        files |= set(folder.glob("*.py"))
    lines = [[path.name, compute_sha256_cached(path)] for path in sorted(files) if path.is_file()]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()
