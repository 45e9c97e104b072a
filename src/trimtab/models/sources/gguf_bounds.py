"""Check the sizes in a .gguf file against the size of the file, before a library allocates memory for them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from trimtab.errors import ModelError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_MAX_DIMENSIONS = 4
# The shortest metadata entry and the shortest tensor entry, in bytes.
_MIN_ENTRY_BYTES, _MIN_TENSOR_BYTES = 13, 24
# No tensor type packs a weight into less than a bit.
_WEIGHTS_PER_BYTE = 8


@dataclass
class _Header:
    """Reads the header in order. `remaining` is the number of bytes after the current position."""

    file: BinaryIO
    path: Path
    remaining: int

    def reject(self, reason: str) -> ModelError:
        return ModelError(f"{self.path}: not a readable .gguf file: {reason}; download it again")

    def require(self, size: int, what: str) -> None:
        if size > self.remaining:
            raise self.reject(f"{what} needs {size:,} bytes, but {self.remaining:,} are left in the file")

    def skip(self, size: int, what: str) -> None:
        self.require(size, what)
        self.file.seek(size, 1)
        self.remaining -= size

    def read(self, layout: str, what: str) -> int:
        size = struct.calcsize(layout)
        self.require(size, what)
        self.remaining -= size
        return int(struct.unpack(f"<{layout}", self.file.read(size))[0])

    def skip_string(self, what: str) -> None:
        self.skip(self.read("Q", what), what)

    def skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self.skip_string("a text")
        elif kind == _ARRAY:
            element, count = self.read("I", "an array"), self.read("Q", "an array")
            if element == _ARRAY:
                raise self.reject("it has an array of arrays")
            self.require(count * _SIZES.get(element, 8), f"an array of {count:,} values")
            if element in _SIZES:
                self.skip(count * _SIZES[element], "an array")
            else:
                for _ in range(count):
                    self.skip_value(element)
        elif kind in _SIZES:
            self.skip(_SIZES[kind], "a value")
        else:
            raise self.reject(f"it has a value of the unknown type {kind}")


def require_gguf_bounds(path: Path) -> None:
    """Raise `ModelError` unless every text, array and tensor that the header announces fits into the file."""
    try:
        with path.open("rb") as file:
            _check_header(_Header(file, path, path.stat().st_size))
    except OSError as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: cannot read the .gguf file: {error}") from error


def _check_header(header: _Header) -> None:
    header.require(24, "the header")
    magic = header.file.read(4)
    header.remaining -= 4
    version = header.read("I", "the header")
    if magic != _MAGIC or version not in _VERSIONS:
        raise header.reject(f"it starts with {magic!r} and version {version}, expected {_MAGIC!r} and version 2 or 3")
    num_tensors, num_entries = header.read("Q", "the header"), header.read("Q", "the header")
    header.require(num_entries * _MIN_ENTRY_BYTES, f"metadata of {num_entries:,} entries")
    header.require(num_tensors * _MIN_TENSOR_BYTES, f"a list of {num_tensors:,} tensors")
    for _ in range(num_entries):
        header.skip_string("a metadata key")
        header.skip_value(header.read("I", "a metadata value"))
    num_weights = 0
    for _ in range(num_tensors):
        header.skip_string("a tensor name")
        num_dimensions = header.read("I", "a tensor")
        if num_dimensions > _MAX_DIMENSIONS:
            raise header.reject(f"a tensor has {num_dimensions} dimensions, expected at most {_MAX_DIMENSIONS}")
        num_weights += prod(header.read("Q", "a tensor") for _ in range(num_dimensions))
        header.skip(12, "a tensor")
    header.require(num_weights // _WEIGHTS_PER_BYTE, f"{num_weights:,} weights")
