"""Lines of append-only files: JSON objects with a checksum, so that damaged lines are recognized."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECKSUM_KEY = "sha256"
# Separates an object from its checksum, which is over the bytes before it. Lines of earlier versions have none.
_SEPARATOR = f', "{CHECKSUM_KEY}": "'.encode()


def encode_line(value: Mapping[str, Any]) -> bytes:
    """A line, with its line break. The checksum is the last key of the object."""
    content = json.dumps(value, ensure_ascii=False)[:-1].encode()
    return content + _SEPARATOR + f'{_compute_checksum(content)}"}}\n'.encode()


def decode_line(line: bytes) -> dict[str, Any]:
    """The object without its checksum. Raises `ValueError` for a damaged line."""
    content, has_checksum, checksum = line.rstrip().rpartition(_SEPARATOR)
    if has_checksum and checksum != f'{_compute_checksum(content)}"}}'.encode():
        raise ValueError("the checksum does not match")
    try:
        value = json.loads(content + b"}" if has_checksum else line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict) or CHECKSUM_KEY in value:
        raise ValueError("not an object with a checksum at its end")
    return value


def _compute_checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
