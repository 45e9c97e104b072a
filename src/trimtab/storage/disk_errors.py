"""Errors of the disk, as messages that name the place and the fix."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import StoreError, TrimtabError

OTHER_FOLDER = "choose another folder with --out"

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# Libraries that write files report a full disk in their own words: safetensors, numpy, torch.
_NO_SPACE_TEXT = re.compile(
    r"No space left on device|Disk quota exceeded|os error (28|122)\b|requested and \d+ written"
    r"|PytorchStreamWriter failed|inline_container\.cc"
)
_NOT_WRITABLE = (
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.ESTALE,
)


@contextmanager
def translate_os_errors(folder: Path, remedy: str = OTHER_FOLDER) -> Iterator[None]:
    """Converts errors of the disk that holds `folder` to `StoreError` with the place and the fix. Others are unchanged."""
    try:
        yield
    except TrimtabError:
        raise
    except Exception as error:
        message = _describe_disk_error(error, folder, remedy)
        if message is None:
            raise
        raise StoreError(message) from error


def _describe_disk_error(error: Exception, folder: Path, remedy: str) -> str | None:
    if any(_is_no_space(each) for each in _list_causes(error)):
        return (
            f"no space left for {folder}; free some space and run the same command again: finished work is saved, and it "
            "resumes from there"
        )
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENOENT and not folder.exists():
        return f"{folder} was removed while it was in use; run the same command again to recreate it"
    place = Path(str(error.filename)) if error.filename else folder
    if error.errno in _NOT_WRITABLE and (place.is_relative_to(folder) or folder.is_relative_to(place)):
        return f"cannot write {folder}: {error.strerror}; {remedy}"
    return None


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_no_space(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return True
    return _NO_SPACE_TEXT.search(str(error)) is not None
