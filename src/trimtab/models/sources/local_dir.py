"""A local folder of safetensors: check that it is a complete model, and hash the files that loading reads."""

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
    """A folder of safetensors on this machine. With `trust_remote_code`, its Python files are part of the model."""

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
    """What the folder lacks to be a complete safetensors model, or None."""
    if not (folder / "config.json").is_file():
        return "no config.json"
    if (folder / INDEX_FILE).is_file():
        shards = set(json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"].values())
        absent = sorted(shard for shard in shards if not (folder / shard).is_file())
        return f"no {', '.join(absent)}, which {INDEX_FILE} lists" if absent else None
    return None if any(folder.glob("*.safetensors")) else "no .safetensors file"


def require_model_files(folder: Path) -> None:
    """Raise `ModelError` if the folder is not a complete model. The message lists what is missing and what is there."""
    missing = describe_missing_files(folder)
    if missing is None:
        return
    names = sorted(path.name for path in folder.iterdir())[:12]
    pickled = any(name.endswith((".bin", ".pt", ".pth")) for name in names)
    hint = (
        "; weights in .bin or .pt files can run code and are not loaded; convert them to safetensors" if pickled else ""
    )
    raise ModelError(f"{folder} is not a model: {missing} (it contains {', '.join(names) or 'nothing'}){hint}")


def folder_hash(folder: Path, *, trust_remote_code: bool) -> str:
    """Hex SHA-256 over the names and hashes of the files that loading reads. Independent of the location of the folder."""
    files = set(folder.glob("*.safetensors")) | {folder / name for name in LOADED_FILES}
    if trust_remote_code:
        files |= set(folder.glob("*.py"))
    lines = [[path.name, compute_sha256_cached(path)] for path in sorted(files) if path.is_file()]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()
