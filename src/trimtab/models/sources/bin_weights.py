"""A folder whose weights exist only as .bin files, which are pickles: converted once to a folder of safetensors.

The conversion runs in a separate process, in `bin_converter`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from trimtab.errors import ModelError
from trimtab.models.sources.download_cache import compute_sha256_cached, get_models_dir
from trimtab.models.sources.gguf import Notify
from trimtab.models.sources.local_dir import (
    BIN_INDEX_FILE,
    NOTICE_PATTERNS,
    TOKENIZER_PATTERNS,
    copy_files,
    folder_hash,
    list_bin_files,
    match_files,
    require_model_files,
)
from trimtab.models.sources.origin import LICENSE_NOT_STATED, require_intact_weights, write_origin

BIN_CONVERTER_VERSION = 1  # bump when a conversion of the same files gives different weights
# The restricted unpickler of earlier versions can be made to corrupt memory (CVE-2025-32434, CVE-2026-24747).
MIN_TORCH_VERSION = (2, 10)
# The folder from which this package is imported.
_IMPORT_ROOT = Path(__file__).resolve().parents[3]
# With how sentence encoders pool the states of a text.
_COPIED_FILES = (*TOKENIZER_PATTERNS, *NOTICE_PATTERNS, "1_Pooling/config.json")


@dataclass(frozen=True, slots=True)
class BinWeights:
    """A folder with `pytorch_model.bin`, or with the files that `pytorch_model.bin.index.json` lists, and no safetensors.

    The content hash is that of the converted weights, so it is None until they have been converted.
    """

    path: Path
    name: str

    def content_hash(self) -> str | None:
        folder = self.find_folder()
        return folder_hash(folder, trust_remote_code=False) if folder.is_dir() else None

    def find_folder(self) -> Path:
        """The folder for the converted weights, which may not exist yet."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)
        return get_models_dir() / f"{name}-{self._hash_files()[:12]}-bin{BIN_CONVERTER_VERSION}"

    def fetch(self, notify: Notify) -> Path:
        """The folder of the converted weights, converted now if necessary. A second process waits for the first to finish.

        Raises `ModelError` with the reason if the files are refused.
        """
        folder = self.find_folder()
        identity = {"sha256": self._hash_files(), "converter": BIN_CONVERTER_VERSION}
        if folder.is_dir():
            require_intact_weights(folder, identity, notify)
            return folder
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not folder.is_dir():
                scratch = folder.parent / f".{folder.name}.partial"
                shutil.rmtree(scratch, ignore_errors=True)
                (scratch / "model").mkdir(parents=True)
                try:
                    self._convert(scratch, notify)
                    write_origin(scratch / "model", {"name": self.name, **identity, "license": LICENSE_NOT_STATED})
                    (scratch / "model").rename(folder)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
        return folder

    def _convert(self, scratch: Path, notify: Notify) -> None:
        names = list_bin_files(self.path)
        shown = names[0] if len(names) == 1 else f"{len(names)} .bin files"
        notify(f"{self.name}: converting {shown} to safetensors, in a separate process that reads tensors only")
        result = _run_converter(self.path, names, scratch)
        if "refused" in result:
            raise ModelError(f"{self.path}: its weights cannot be converted to safetensors: {result['refused']}")
        copy_files(self.path, scratch / "model", _COPIED_FILES, {BIN_INDEX_FILE})
        notify(
            f"{self.name}: converted {shown} to safetensors ({result['tensors']:,} tensors, {result['bytes'] / 1e6:,.0f} MB); "
            f"their names and shapes are those of {result['architecture']}"
        )

    def _hash_files(self) -> str:
        """Hex SHA-256 over the weights and the files that are copied to them. Raises `ModelError` if one is missing."""
        require_model_files(self.path)
        files = match_files(self.path, _COPIED_FILES, {BIN_INDEX_FILE}) + [
            self.path / name for name in list_bin_files(self.path)
        ]
        lines = [[str(file.relative_to(self.path)), compute_sha256_cached(file)] for file in files]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def _run_converter(source: Path, names: list[str], scratch: Path) -> dict[str, Any]:
    require_safe_torch()
    result = scratch / "result.json"
    module = f"{__package__}.bin_converter"
    command = [sys.executable, "-P", "-m", module, str(source.resolve()), str(scratch / "model"), str(result), *names]
    environment = {**os.environ, "PYTHONPATH": str(_IMPORT_ROOT)}
    completed = subprocess.run(  # noqa: S603 - the names are those of files in the folder
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if completed.returncode != 0 or not result.is_file():
        last_line = next(iter(completed.stderr.strip().splitlines()[::-1]), "no message")
        raise ModelError(
            f"{source}: the process that converts its .bin files ended with status {completed.returncode}: {last_line}"
        )
    document: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return document


def require_safe_torch() -> None:
    """Raises `ModelError` if the restricted unpickler of the installed torch has known flaws."""
    version = metadata.version("torch")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < MIN_TORCH_VERSION:
        raise ModelError(
            f"torch {version} cannot read untrusted .bin files safely (CVE-2026-24747); install torch "
            f"{'.'.join(map(str, MIN_TORCH_VERSION))} or later, or use a folder of safetensors"
        )
