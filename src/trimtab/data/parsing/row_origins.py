"""The origins of rows, in 12 bytes of memory each."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from trimtab.types import Choice, RowOrigin

# What many rows have in common: the file, the response that comes first, the columns, and the models.
_Common = tuple[str, Choice, tuple[str, str], tuple[str, str] | None]


class RowOrigins:
    """The origins of rows in order, without the ids of their pairs. A row that is not from a file has none."""

    def __init__(self) -> None:
        self._row_numbers, self._common_numbers = array("q"), array("i")
        self._common: dict[_Common, int] = {}
        self._common_list: list[_Common] = []

    def append(self, origin: RowOrigin | None) -> None:
        if origin is None:
            self._row_numbers.append(0)
            self._common_numbers.append(-1)
            return
        common = (origin.file, origin.first, origin.columns, origin.models)
        number = self._common.setdefault(common, len(self._common))
        if number == len(self._common_list):
            self._common_list.append(common)
        self._row_numbers.append(origin.row)
        self._common_numbers.append(number)

    def list_rows(self) -> NDArray[np.bool_]:
        """Whether each row has an origin."""
        return np.frombuffer(self._common_numbers, np.int32) >= 0

    def read_place(self, position: int) -> tuple[str, int]:
        """The file of a row and its number there. `""` and 0 if the row has no origin."""
        number = self._common_numbers[position]
        return ("", 0) if number < 0 else (self._common_list[number][0], self._row_numbers[position])

    def read(self, position: int, pair_id: str) -> RowOrigin:
        """The origin of a row that has one."""
        file, first, columns, models = self._common_list[self._common_numbers[position]]
        row = self._row_numbers[position]
        return RowOrigin(pair_id=pair_id, file=file, row=row, first=first, columns=columns, models=models)
