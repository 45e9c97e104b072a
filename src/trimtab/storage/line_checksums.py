"""Lines of append-only files: JSON objects with a checksum, so that damaged lines are recognized.

The checksum includes the name of the file: a line of another file, whose keys can be the same, is a damaged line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECKSUM_KEY = "sha256"
# Separates an object from its checksum, which is over the bytes before it.
_SEPARATOR = f', "{CHECKSUM_KEY}": "'.encode()


def encode_line(value: Mapping[str, Any], file_name: str) -> bytes:
    """A line, with its line break. The checksum is the last key of the object."""
    content = json.dumps(value, ensure_ascii=False)[:-1].encode()
    return content + _SEPARATOR + f'{_compute_checksum(content, file_name)}"}}\n'.encode()


def decode_line(line: bytes, file_name: str) -> dict[str, Any]:
    """The object without its checksum. Raises `ValueError` for a damaged line."""
    content, _, checksum = line.rstrip().rpartition(_SEPARATOR)
    if checksum != f'{_compute_checksum(content, file_name)}"}}'.encode():
        raise ValueError("the checksum does not match")
    try:
        value = json.loads(content + b"}")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _compute_checksum(content: bytes, file_name: str) -> str:
    return hashlib.sha256(file_name.encode() + b"\n" + content).hexdigest()[:16]
