"""An append-only JSONL cache for expensive values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from trimtab.errors import StoreError
from trimtab.storage.atomic import translate_os_errors


class JsonlCache:
    """Values by key in one append-only file; added values are on disk at once, and the first value of a key wins.

    Values are Python JSON, which includes infinity. A truncated last line, left by a kill, is discarded. Several instances
    in one process may share a file. Not frozen: it keeps the byte offset of each value and the number of bytes scanned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: dict[str, int] = {}
        self._scanned_bytes = 0

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Returns the values of the keys that have one."""
        self._scan_new_lines()
        offsets = {key: self._offsets[key] for key in keys if key in self._offsets}
        if not offsets:
            return {}
        with self.path.open("rb") as file:
            return {key: _read_line_at(file, offset)["value"] for key, offset in offsets.items()}

    def put_many(self, values: Mapping[str, Any]) -> None:
        lines = [json.dumps({"key": key, "value": value}, ensure_ascii=False) + "\n" for key, value in values.items()]
        if not lines:
            return
        with translate_os_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._scan_new_lines()
            with self.path.open("ab") as out:
                out.truncate(self._scanned_bytes)
                out.write("".join(lines).encode())

    def _scan_new_lines(self) -> None:
        """Indexes lines added by this or another instance since the last scan, up to an incomplete line."""
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
                f"{self.path} is damaged at byte {self._scanned_bytes} ({error}); delete it, and its values are computed again"
            ) from error


def _read_line_at(file: BinaryIO, offset: int) -> dict[str, Any]:
    file.seek(offset)
    return json.loads(file.readline())  # type: ignore[no-any-return]
