"""Values that are dear, in files that only grow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from trimtab.errors import StoreError
from trimtab.store import room


class Kept:
    """Values by key in one file that only grows, so that what was added is safe on disk; the first of a key stands.

    Values are those of Python's JSON, which knows infinity. A line that a kill cut short is dropped. Several may stand on one
    file in one process. Not frozen: it knows where in the file each value begins, and how far it has looked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        self._seen = 0

    def find(self, keys: Sequence[str]) -> dict[str, Any]:
        """The values of those keys that have one."""
        self._look()
        wanted = {key: self._places[key] for key in keys if key in self._places}
        if not wanted:
            return {}
        with self.path.open("rb") as file:
            return {key: _line_at(file, place)["value"] for key, place in wanted.items()}

    def add(self, values: Mapping[str, Any]) -> None:
        lines = [json.dumps({"key": key, "value": each}, ensure_ascii=False) + "\n" for key, each in values.items()]
        if not lines:
            return
        with room(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._look()
            with self.path.open("ab") as out:
                out.truncate(self._seen)
                out.write("".join(lines).encode())

    def _look(self) -> None:
        """Finds what was added since, here or by another that stands on the file, up to a line that is not whole."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._seen)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._places.setdefault(self._key(line), self._seen)
                self._seen += len(line)

    def _key(self, line: bytes) -> str:
        try:
            return str(json.loads(line)["key"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.path} is damaged at byte {self._seen} ({error}); delete it, and what it holds is asked again"
            ) from error


def _line_at(file: BinaryIO, place: int) -> dict[str, Any]:
    file.seek(place)
    return json.loads(file.readline())  # type: ignore[no-any-return]
