"""A folder of safetensors: whether it holds a whole model, and the hash of what loading it reads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import ModelError
from trimtab.models.sources.download_cache import compute_sha256_cached

INDEX_FILE = "model.safetensors.index.json"
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


@dataclass(frozen=True, slots=True)
class LocalDir:
    """A folder of safetensors on this machine. With `code`, the Python files in it are part of the model."""

    path: Path
    trust_remote_code: bool = False

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def content_hash(self) -> str:
        require_model_files(self.path)
        return folder_hash(self.path, trust_remote_code=self.trust_remote_code)

    def fetch(self, _notify: object) -> Path:
        require_model_files(self.path)
        return self.path.resolve()


def describe_missing_files(folder: Path) -> str | None:
    """What keeps the folder from being a whole model in safetensors form, None where nothing does."""
    if not (folder / "config.json").is_file():
        return "no config.json"
    if (folder / INDEX_FILE).is_file():
        shards = set(json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"].values())
        absent = sorted(shard for shard in shards if not (folder / shard).is_file())
        return f"no {', '.join(absent)}, which {INDEX_FILE} names" if absent else None
    return None if any(folder.glob("*.safetensors")) else "no .safetensors file"


def require_model_files(folder: Path) -> None:
    """Raise `ModelError` naming what is missing and what is there instead."""
    missing = describe_missing_files(folder)
    if missing is None:
        return
    there = sorted(path.name for path in folder.iterdir())[:12]
    pickled = any(name.endswith((".bin", ".pt", ".pth")) for name in there)
    hint = "; weights in .bin or .pt files can run code and are not read: save them as safetensors" if pickled else ""
    raise ModelError(f"{folder} is not a model: {missing} (it holds {', '.join(there) or 'nothing'}){hint}")


def folder_hash(folder: Path, *, trust_remote_code: bool) -> str:
    """Hex sha256 over the names and hashes of the files that loading reads, wherever the folder stands."""
    files = set(folder.glob("*.safetensors")) | {folder / name for name in LOADED_FILES}
    if trust_remote_code:
        files |= set(folder.glob("*.py"))
    lines = [[path.name, compute_sha256_cached(path)] for path in sorted(files) if path.is_file()]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()
