"""Files that a command writes next to a folder of cached completions, from which the same command resumes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from trimtab.data.parsing.files import find_files
from trimtab.errors import StudyError
from trimtab.storage.artifacts import LOCK_FILES, Store


def prepare_folder(output: Path, inputs: Mapping[str, str | None]) -> None:
    """Creates the folder of `output`. `inputs` are the paths that the command reads, by what they contain, such as `of pairs`.

    Raises `StudyError` if the output is a folder, cannot be written, or would replace a file of an input, or be one of them in
    the next run.
    """
    if output.is_dir():
        raise StudyError(f"--out {output}: it is a folder; give the path of a file")
    for name, path in inputs.items():
        if path is not None:
            _require_no_input(output, path, name)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is not a folder" if isinstance(error, FileExistsError) else error.strerror
        raise StudyError(f"--out {output}: cannot create the folder {output.parent}: {reason}") from error
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise StudyError(f"--out {output}: cannot write to the folder {output.parent}; choose another folder")


@contextmanager
def lock_completions(output: Path) -> Iterator[Path]:
    """The folder of cached completions of `output`, for this process alone. It is removed at the end if nothing is in it.

    Raises `StoreError` if another process works on the same output.
    """
    folder = output.with_name(f"{output.name}.completions")
    with Store(folder).lock():
        try:
            yield folder
        finally:
            if folder.is_dir() and {path.name for path in folder.iterdir()} <= set(LOCK_FILES):
                shutil.rmtree(folder, ignore_errors=True)


def _require_no_input(output: Path, path: str, name: str) -> None:
    """Raises `StudyError` if the output would replace a file of `path`, or be one of them in the next run."""
    folder = Path(path).expanduser()
    if folder.is_dir() and output.resolve().parent == folder.resolve():
        raise StudyError(f"--out {output}: it is in the folder {name}, whose files are all read; choose another folder")
    if output.exists() and any(output.samefile(file) for file in find_files(path)):
        raise StudyError(f"--out {output}: this is a file {name}; choose another file")
