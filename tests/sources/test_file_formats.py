"""Encodings, separators, damaged rows, and files too large for memory: every other row is read, and the rest is counted."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from trimtab.data.parsing.text_lines import MAX_ROW_LENGTH
from trimtab.errors import DataError
from trimtab.sources.file import File
from trimtab.types import Dataset

HEADER = "prompt,chosen,rejected\n"
ROW = {"prompt": "Name a color.", "chosen": "Blue – yes.", "rejected": "Seven."}
LINE = json.dumps(ROW, ensure_ascii=False)
TABLE = [list(ROW), list(ROW.values()), ["Hi, you; all", "Yes.", "No."]]
# Bytes that reading a file may take; the text of the large file has more than twice as many.
MEMORY_BOUND = 8 * MAX_ROW_LENGTH


def load(folder: Path, name: str, content: str | bytes) -> Dataset:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return File(path=str(path)).load()


def load_error(folder: Path, name: str, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, name, content)
    return str(caught.value)


def list_failures(dataset: Dataset) -> list[str]:
    return [f"{failure.location}: {failure.reason}" for failure in dataset.failures]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz"])
def test_tables_of_spreadsheets_are_read(tmp_path: Path, name: str, delimiter: str, encoding: str) -> None:
    text = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in TABLE)
    content = text.encode(encoding)
    dataset = load(tmp_path, name, gzip.compress(content) if name.endswith(".gz") else content)
    assert [pair.prompt[0].content for pair in dataset.pairs] == ["Name a color.", "Hi, you; all"]
    assert [pair.response(pair.human) for pair in dataset.pairs if pair.human] == ["Blue – yes.", "Yes."]


@pytest.mark.parametrize("first_line", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_a_first_line_that_states_the_delimiter_is_no_header(tmp_path: Path, first_line: str) -> None:
    dataset = load(tmp_path, "p.csv", f"{first_line}\nprompt;chosen;rejected\nName a color.;Blue, yes.;Seven.\n")
    assert [pair.prompt[0].content for pair in dataset.pairs] == ["Name a color."]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["p.jsonl", "p.json"])
def test_json_of_other_encodings_is_read(tmp_path: Path, name: str, encoding: str) -> None:
    assert len(load(tmp_path, name, LINE.encode(encoding)).pairs) == 1


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-16-le", "UTF-16 or binary, without a byte order mark; save it as UTF-8"),
        ("utf-32", "UTF-32; save it as UTF-8"),
    ],
)
def test_an_encoding_that_is_not_read_is_named(tmp_path: Path, encoding: str, expected: str) -> None:
    assert load_error(tmp_path, "p.jsonl", LINE.encode(encoding)).endswith(f"p.jsonl: the text is {expected}")


def test_text_of_a_local_encoding_is_named(tmp_path: Path) -> None:
    message = load_error(tmp_path, "p.csv", (HEADER + "Hi,Blue – yes.,No.\n").encode("cp1252"))
    assert message.endswith("'chosen' is not valid UTF-8 text; save the file as UTF-8 (1 rows)")


def test_spaces_around_names_and_labels_are_ignored(tmp_path: Path) -> None:
    dataset = load(tmp_path, "p.csv", 'prompt, response_a, response_b, label\nHi, "Yes, sir.", No., B \n')
    assert [pair.response(pair.human) for pair in dataset.pairs if pair.human] == ["No."]


def test_a_long_field_is_read(tmp_path: Path) -> None:
    dataset = load(tmp_path, "p.csv", f"{HEADER}Hi,{'x' * 200_000},No.\n")
    assert (len(dataset.pairs), dataset.failures) == (1, ())


@pytest.mark.parametrize("n_rows", [1, 500])
def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path, n_rows: int) -> None:
    rows = "".join(f"Say {number}.,{number},no\n" for number in range(n_rows))
    dataset = load(tmp_path, "p.csv", f'{HEADER}{rows}"Hi,Yes.,No.\n{rows.replace("Say", "Tell")}')
    assert len(dataset.pairs) == 2 * n_rows
    assert list_failures(dataset) == [f"p.csv:{n_rows + 2}: invalid CSV: unbalanced quotes"]


def test_a_quote_that_closes_many_rows_later_costs_only_the_damaged_rows(tmp_path: Path) -> None:
    rows = "".join(f"Say {number}.,{number},no\n" for number in range(50))
    dataset = load(tmp_path, "p.csv", f'{HEADER}"Hi,Yes.,No.\n{rows}Bye,"Yes.,No.\nEnd,"Yes, ""sir"".",No.\n')
    assert len(dataset.pairs) == 51
    assert len(dataset.failures) == 2


def test_a_field_of_several_lines_in_a_row_of_another_width_is_one_failure(tmp_path: Path) -> None:
    dataset = load(tmp_path, "p.csv", f'{HEADER}Hi,"a\nb\nc",No.,more\nName,yes,no\n')
    assert list_failures(dataset) == ["p.csv:2: 4 columns, but the header has 3"]
    assert len(dataset.pairs) == 1


def test_a_damaged_header_is_an_error(tmp_path: Path) -> None:
    message = load_error(tmp_path, "p.csv", '"prompt,chosen,rejected\nHi,Yes.,No.\n')
    assert "the header cannot be read: invalid CSV: unbalanced quotes" in message


def test_a_repeated_key_fails_its_row(tmp_path: Path) -> None:
    repeated = '{"prompt": "Hi", "chosen": "Yes.", "rejected": "No.", "chosen": "Maybe."}'
    dataset = load(tmp_path, "p.jsonl", f"{LINE}\n{repeated}\n")
    assert list_failures(dataset) == ["p.jsonl:2: the key 'chosen' occurs twice in one object"]
    assert "the key 'chosen' occurs twice in one object" in load_error(tmp_path, "p.json", f"[{repeated}]")


def test_repeated_columns_are_an_error(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table([["Hi"], ["Yes."], ["No."]], names=["prompt", "chosen", "chosen"]), tmp_path / "p.parquet")
    with pytest.raises(DataError, match="two columns have the same name; columns found: prompt, chosen, chosen"):
        File(path=str(tmp_path / "p.parquet")).load()
    assert "two columns have the same name" in load_error(tmp_path, "p.csv", "prompt,chosen, chosen\nHi,Yes.,No.\n")


def test_a_parquet_value_that_cannot_be_converted_fails_alone(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.array([b"Yes.", b"\xff\xfe"]).view(pa.string())
    table = pa.table({"prompt": ["Hi", "Ho"], "chosen": texts, "rejected": ["No.", "No."]})
    pq.write_table(table, tmp_path / "p.parquet")
    dataset = File(path=str(tmp_path / "p.parquet")).load()
    assert list_failures(dataset) == ["p.parquet:row 2: 'chosen' is a value that cannot be read, expected text"]


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        ROW | {"prompt": [{"role": "user", "content": "Hi"}]},
        {
            name: [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": name}]
            for name in ("chosen", "rejected")
        },
    ],
)
def test_a_json_file_of_one_row_is_read(tmp_path: Path, row: dict[str, Any]) -> None:
    assert len(load(tmp_path, "p.json", json.dumps(row)).pairs) == 1


def test_an_array_under_the_suffix_of_json_lines_is_named(tmp_path: Path) -> None:
    message = load_error(tmp_path, "p.jsonl", f"[\n{LINE}\n]\n")
    assert message.endswith("a JSON array over several lines, expected one object per line; rename it to .json")


def test_a_file_that_expands_beyond_the_memory_bound_keeps_every_other_row(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(f'{LINE}\n{{"prompt": "'.encode())
        for _ in range(20):
            stream.write(b"x" * MAX_ROW_LENGTH)
        stream.write(f'"}}\n{LINE.replace("color", "shade")}\n'.encode())
    tracemalloc.start()
    dataset = File(path=str(path)).load()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset.pairs) == 2
    assert list_failures(dataset) == ["p.jsonl.gz:2: a line of more than 16,777,216 characters"]
    assert peak < MEMORY_BOUND


def test_a_csv_row_over_the_limit_is_counted(tmp_path: Path) -> None:
    long = "x" * (MAX_ROW_LENGTH + 1)
    dataset = load(tmp_path, "p.csv", f"{HEADER}Hi,Yes.,No.\nlong,{long},no\nHo,Yes.,No.\n")
    assert len(dataset.pairs) == 2
    assert list_failures(dataset) == ["p.csv:3: a row of more than 16,777,216 characters"]
