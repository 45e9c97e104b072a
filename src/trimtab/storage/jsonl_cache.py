"""Values that are dear, in files that only grow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from trimtab.errors import StoreError
from trimtab.storage.artifacts import translate_os_errors


class JsonlCache:
    """Values by key in one file that only grows, so that what was added is safe on disk; the first of a key stands.

    Values are those of Python's JSON, which knows infinity. A line that a kill cut short is dropped. Several may stand on one
    file in one process. Not frozen: it knows where in the file each value begins, and how far it has looked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: dict[str, int] = {}
        self._scanned_bytes = 0

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values of those keys that have one."""
        self._scan_new_lines()
        wanted = {key: self._offsets[key] for key in keys if key in self._offsets}
        if not wanted:
            return {}
        with self.path.open("rb") as file:
            return {key: _read_line_at(file, place)["value"] for key, place in wanted.items()}

    def put_many(self, values: Mapping[str, Any]) -> None:
        lines = [json.dumps({"key": key, "value": each}, ensure_ascii=False) + "\n" for key, each in values.items()]
        if not lines:
            return
        with translate_os_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._scan_new_lines()
            with self.path.open("ab") as out:
                out.truncate(self._scanned_bytes)
                out.write("".join(lines).encode())

    def _scan_new_lines(self) -> None:
        """Finds what was added since, here or by another that stands on the file, up to a line that is not whole."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._scanned_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offsets.setdefault(self._parse_key(line), self._scanned_bytes)
                self._scanned_bytes += len(line)

    def _parse_key(self, line: bytes) -> str:
        try:
            return str(json.loads(line)["key"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.path} is damaged at byte {self._scanned_bytes} ({error}); delete it, and what it holds is asked again"
            ) from error


def _read_line_at(file: BinaryIO, place: int) -> dict[str, Any]:
    file.seek(place)
    return json.loads(file.readline())  # type: ignore[no-any-return]
