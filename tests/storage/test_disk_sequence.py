"""Values on disk read like a list, ids are found by position, and tables are read group by group."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.errors import StoreError
from trimtab.storage import disk_sequence, row_groups
from trimtab.storage.artifacts import Draft
from trimtab.storage.disk_sequence import DiskSequence, LazySequence, join_sequences, select_values
from trimtab.storage.id_index import IdIndex, find_first_and_last, hash_id, hash_ids
from trimtab.storage.stored_table import StoredTable, ValuesById

TEXTS = ["one", "", "half a character: \ud83d", "two\nlines", "é" * 1000]
SCHEMA = pa.schema([("id", pa.string()), ("value", pa.int64())])


def store(texts: list[str]) -> DiskSequence[str]:
    values = DiskSequence[str](
        lambda text: text.encode(errors="surrogatepass"), lambda data: data.decode(errors="surrogatepass")
    )
    for text in texts:
        values.append(text)
    return values


@pytest.mark.parametrize("max_memory", [1, 2**20], ids=["in a file", "in memory"])
def test_values_on_disk_read_like_a_list(monkeypatch: pytest.MonkeyPatch, max_memory: int) -> None:
    monkeypatch.setattr(disk_sequence, "MAX_MEMORY", max_memory)
    stored = store(TEXTS)
    values = stored.as_sequence()
    assert (len(values), list(values), values[-1], list(values[1:3])) == (5, TEXTS, TEXTS[-1], TEXTS[1:3])
    assert values == TEXTS
    assert values != TEXTS[:-1]
    with pytest.raises(IndexError):
        values[5]
    stored.append("after a read")
    assert list(stored.as_sequence()) == [*TEXTS, "after a read"]


@pytest.mark.parametrize("read_ahead", [1, 7, 2**18])
def test_values_are_read_in_any_order(monkeypatch: pytest.MonkeyPatch, read_ahead: int) -> None:
    monkeypatch.setattr(disk_sequence, "READ_AHEAD", read_ahead)
    texts = [f"text {number}" * (number % 3) for number in range(60)]
    values = store(texts).as_sequence()
    orders = (range(60), range(59, -1, -1), range(0, 60, 7), [30, 31, 2, 59, 0, 0, 58])
    for order in orders:
        assert [values[position] for position in order] == [texts[position] for position in order]
    assert list(zip(values, values[3:], strict=False)) == list(zip(texts, texts[3:], strict=False))


def test_values_in_order_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_sequence, "READ_AHEAD", 100)
    stored, sizes = store([f"{number:10}" for number in range(40)]), list[int]()
    read = stored._file.read

    def record_size(size: int) -> bytes:
        sizes.append(size)
        return read(size)

    monkeypatch.setattr(stored._file, "read", record_size)
    list(stored.as_sequence())
    assert sizes == [100] * 4
    for position in (0, 30, 10):
        stored.read(position)
    assert sizes[4:] == [10, 10, 10]


def test_a_full_disk_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    values = store([])

    class FullFile:
        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(values, "_file", FullFile())
    with pytest.raises(StoreError, match="no space left for"):
        values.append("one")


def test_values_are_selected_and_joined_on_access() -> None:
    selected = select_values(TEXTS, [3, 0])
    assert list(selected) == ["two\nlines", "one"]
    joined = join_sequences([selected, [], TEXTS])
    assert list(joined) == ["two\nlines", "one", *TEXTS]
    assert isinstance(joined[2:], LazySequence)


def test_an_id_is_found_at_its_first_position() -> None:
    ids = [f"id {number % 500}" for number in range(1000)]
    index = IdIndex(ids)
    assert [index.find(each) for each in ids] == [number % 500 for number in range(1000)]
    assert index.find("id 500") is None
    assert "id 499" in index
    with pytest.raises(KeyError):
        index.get("")
    assert IdIndex([]).find("id 0") is None
    assert index.get_all(reversed(ids[:500])).tolist() == list(range(499, -1, -1))
    for missing in ("id 500", "zzz", ""):
        with pytest.raises(KeyError):
            index.get_all(["id 3", missing])
    assert IdIndex([]).get_all([]).tolist() == []


def test_an_id_in_hexadecimal_digits_is_its_own_digest() -> None:
    ids = ["0" * 32, "ab" * 16, "AB" * 16, "a b " * 8, "é" * 32]
    assert [hash_id(each).hex() == each for each in ids] == [True, True, False, False, False]
    assert [IdIndex(ids).find(each) for each in ids] == [0, 1, 2, 3, 4]


def test_the_first_and_the_last_position_of_each_id_are_found() -> None:
    first, last = find_first_and_last(hash_ids(["a", "b", "a", "c", "b", "a"]))
    assert sorted(zip(first.tolist(), last.tolist(), strict=True)) == [(0, 5), (1, 4), (3, 3)]
    assert [len(each) for each in find_first_and_last(hash_ids([]))] == [0, 0]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten rows in four groups."""
    monkeypatch.setattr(row_groups, "ROWS_PER_GROUP", 3)
    monkeypatch.setattr(row_groups, "ROWS_PER_BATCH", 3)
    rows = ({"id": f"id {number}", "value": number} for number in range(10))
    Draft(folder=tmp_path).write_rows("table", rows, SCHEMA)
    return tmp_path / "table.parquet"


def test_a_table_is_read_group_by_group(table: Path) -> None:
    converted: list[int] = []

    def convert(row: dict[str, Any]) -> int:
        converted.append(row["value"])
        return int(row["value"])

    stored = StoredTable(table, SCHEMA, convert, "delete it")
    assert pq.ParquetFile(table).num_row_groups == 4
    assert (stored.read(4), converted) == (4, [3, 4, 5])
    assert list(stored.as_sequence()) == list(range(10))
    by_id = ValuesById(stored, "id")
    assert (len(by_id), by_id["id 7"], list(by_id)) == (10, 7, [f"id {number}" for number in range(10)])
    assert dict(by_id) == {f"id {number}": number for number in range(10)}
    assert list(by_id.items()) == [(f"id {number}", number) for number in range(10)]
    converted.clear()
    assert list(by_id.values()) == converted == list(range(10))
    with pytest.raises(KeyError):
        by_id["id 10"]


def test_a_row_that_cannot_be_converted_names_the_file(table: Path) -> None:
    damaged = StoredTable(table, SCHEMA, lambda row: row["other"], "delete it")
    with pytest.raises(StoreError, match=r"table\.parquet is damaged \(no 'other'\); delete it"):
        damaged.read(0)


def test_a_missing_column_is_an_error(table: Path) -> None:
    wider = pa.schema([*SCHEMA, ("other", pa.string())])
    with pytest.raises(StoreError, match="has no column 'other', so an earlier version wrote it"):
        StoredTable(table, wider, lambda row: row, "delete it")


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    Draft(folder=tmp_path).write_rows("empty", [], SCHEMA)
    stored = StoredTable(tmp_path / "empty.parquet", SCHEMA, lambda row: row, "delete it")
    assert (len(stored), list(stored.as_sequence()), list(ValuesById(stored, "id"))) == (0, [], [])
