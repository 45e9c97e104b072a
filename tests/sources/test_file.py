"""Files of every format give the same pairs, and a file without pairs is rejected with the reason."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from trimtab.core.component import get_kind
from trimtab.core.component_loading import list_kinds
from trimtab.errors import DataError
from trimtab.sources.file import File

COLUMNS = ("prompt", "chosen", "rejected")
ROWS = [{"prompt": f'Say "{n}",\nplease.', "chosen": f"{n}", "rejected": f"not {n} — 没有"} for n in range(6)]
LINES = [json.dumps(row) for row in ROWS]
PRIVATE = "zebra crossing"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "data-formats.md"
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
REAL = {"hh1t_helpful_gt": 3959, "hh1t_harmless_test": 3978, "hh_helpful_online_test": 1129, "judge_llmbar": 419}


def write(path: Path, rows: Sequence[dict[str, str]] = ROWS) -> Path:
    """Writes the rows in the format of the path's suffix."""
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        return path
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "wt", encoding="utf-8", newline="") as stream:
        if ".csv" in path.name:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        elif ".jsonl" in path.name:
            stream.write("\n".join(json.dumps(row) for row in rows))
        else:
            stream.write(json.dumps(rows))
    return path


def single_failure(path: Path) -> str:
    """The only failure of an otherwise usable file."""
    dataset = File(path=str(path)).load()
    assert dataset.pairs
    (failure,) = dataset.failures
    assert PRIVATE not in failure.reason
    return f"{failure.location}: {failure.reason}"


def load_error(path: Path | str) -> str:
    """The error message of an unusable file, without the path that it starts with."""
    with pytest.raises(DataError) as caught:
        File(path=str(path)).load()
    message = str(caught.value)
    assert message.startswith(str(path))
    assert PRIVATE not in message
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    "name", ["p.json", "p.jsonl", "p.csv", "p.parquet", "p.json.gz", "p.jsonl.gz", "p.CSV", "p.csv.gz"]
)
def test_every_format_gives_the_same_pairs(tmp_path: Path, name: str) -> None:
    expected = File(path=str(write(tmp_path / "expected.jsonl"))).load()
    assert len(expected.pairs) == len(ROWS)
    assert expected.layout == "preference, text, explicit prompt"
    source = write(tmp_path / name.lower()).rename(tmp_path / name)
    assert File(path=str(source)).load() == expected


def test_an_object_around_one_array_is_read_as_the_array(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"version": 1, "data": ROWS}))
    assert len(File(path=str(path)).load().pairs) == len(ROWS)


def test_json_lines_with_the_suffix_json_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("\n".join(LINES))
    assert len(File(path=str(path)).load().pairs) == len(ROWS)


def test_a_folder_and_a_pattern_read_all_their_files(tmp_path: Path) -> None:
    write(tmp_path / "one.jsonl", ROWS[:2])
    write(tmp_path / "two.csv", ROWS[2:])
    (tmp_path / "README.md").write_text("not rows")
    assert len(File(path=str(tmp_path)).load().pairs) == len(ROWS)
    assert len(File(path=str(tmp_path / "*.csv")).load().pairs) == len(ROWS) - 2


def test_a_limit_takes_a_sample_independent_of_the_row_order(tmp_path: Path) -> None:
    forward, backward = write(tmp_path / "f.jsonl"), write(tmp_path / "b.jsonl", ROWS[::-1])
    four = File(path=str(forward), limit=4, seed=1).load().pairs
    assert len(four) == 4
    assert File(path=str(backward), limit=4, seed=1).load().pairs == four
    assert File(path=str(forward), limit=2, seed=1).load().pairs == four[:2]
    assert any(File(path=str(forward), limit=4, seed=seed).load().pairs != four for seed in (2, 3))


def test_the_content_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.jsonl"), write(tmp_path / "other.jsonl")
    assert File(path=str(one)).content_hash() == hashlib.sha256(one.read_bytes()).hexdigest()
    assert File(path=str(other)).content_hash() == File(path=str(one)).content_hash()
    write(other, ROWS[1:])
    assert File(path=str(other)).content_hash() != File(path=str(one)).content_hash()


def test_list_kinds_finds_the_sources() -> None:
    assert get_kind(File(path="p.jsonl")) == "file"
    assert {"file", "hub"} <= set(list_kinds("sources"))


@pytest.mark.parametrize("number", range(8))
def test_every_example_of_the_documentation_is_parsed_without_failures(tmp_path: Path, number: int) -> None:
    examples = re.findall(r"```(jsonl|csv)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 8
    suffix, rows = examples[number]
    path = tmp_path / f"p.{suffix}"
    path.write_text(rows)
    dataset = File(path=str(path)).load()
    assert dataset.pairs
    assert dataset.failures == ()


def test_a_limit_below_one_is_rejected() -> None:
    with pytest.raises(ValidationError):
        File(path="p.jsonl", limit=0)


def test_a_broken_line_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f'{LINES[0]}\n{{"prompt": "{PRIVATE}\n\n{LINES[1]}\n')
    assert single_failure(path) == "p.jsonl:2: invalid JSON; expected one object per line"


def test_a_line_that_is_not_an_object_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f'{LINES[0]}\n["{PRIVATE}"]\n')
    assert single_failure(path) == "p.jsonl:2: list found, expected an object with columns"


def test_a_line_nested_too_deeply_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(f"{LINES[0]}\n{'[' * 200_000}\n")
    assert single_failure(path).startswith("p.jsonl:2: invalid JSON")


def test_a_line_that_is_not_utf8_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    latin = '{"prompt": "Say é", "chosen": "yes", "rejected": "no"}'.encode("latin-1")
    path.write_bytes(LINES[0].encode() + b"\n" + latin)
    assert single_failure(path) == "p.jsonl:2: 'prompt' is not valid UTF-8 text; save the file as UTF-8"


def test_a_csv_row_of_another_width_fails_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f'prompt,chosen,rejected\n"two\nlines",yes,no\n{PRIVATE},yes\nname,yes,no\n')
    assert single_failure(path) == "p.csv:4: 2 columns, but the header has 3"


def test_a_csv_row_with_broken_quotes_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f'prompt,chosen,rejected\n"{PRIVATE}"x,yes,no\nname,yes,no\n')
    assert single_failure(path) == "p.csv:2: invalid CSV: unbalanced quotes"


def test_identical_responses_fail_at_their_line(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [ROWS[0], ROWS[1] | {"chosen": PRIVATE, "rejected": PRIVATE}])
    assert single_failure(path) == "p.jsonl:2: 'chosen' and 'rejected' are identical"


def test_a_parquet_row_is_located_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", [ROWS[0], ROWS[1] | {"chosen": ""}])
    assert single_failure(path) == "p.parquet:row 2: 'chosen' is empty"


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    assert ": no such file" in load_error(tmp_path / "none.jsonl")
    assert ": no such file" in load_error(tmp_path / "*.jsonl")


@pytest.mark.parametrize(("name", "suffix"), [("p.xlsx", ".xlsx"), ("p", "(none)"), ("p.parquet.gz", ".gz")])
def test_an_unsupported_suffix_is_rejected(tmp_path: Path, name: str, suffix: str) -> None:
    (tmp_path / name).write_text("x")
    expected = f": the suffix {suffix} is not supported; supported are .jsonl, .json, .csv, .tsv (each also with .gz), .parquet"
    assert load_error(tmp_path / name) == expected


def test_a_folder_without_supported_files_is_rejected(tmp_path: Path) -> None:
    assert ": the folder contains no supported file" in load_error(tmp_path)


@pytest.mark.parametrize("name", ["p.json", "p.jsonl", "p.csv"])
def test_an_empty_file_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("\n")
    assert load_error(tmp_path / name).startswith(": is empty")


def test_a_csv_file_with_only_a_header_is_empty(tmp_path: Path) -> None:
    assert load_error(write(tmp_path / "p.csv", [])).startswith(": is empty")


def test_the_error_of_a_csv_file_without_header_does_not_quote_its_first_row(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"{PRIVATE},yes!,no!\n{PRIVATE},yes!,no!\n")
    assert "columns found: (a name of 14 characters), (a name of 4 characters)" in load_error(path)


@pytest.mark.parametrize("name", ["p.jsonl.gz", "p.parquet"])
def test_a_file_with_the_wrong_suffix_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(PRIVATE)
    assert "damaged" in load_error(tmp_path / name)


def test_a_truncated_gzip_file_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-20])
    assert ": damaged or not gzip" in load_error(path)


def test_invalid_json_is_rejected_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(f'[\n{LINES[0]},\n{{"prompt": "{PRIVATE}]')
    assert load_error(path).startswith(": invalid JSON at line 3")


def test_an_object_with_several_lists_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"prompt": [PRIVATE], "chosen": ["yes"], "rejected": ["no"]}))
    assert ": found an object with 3 lists (prompt, chosen, rejected)" in load_error(path)


def test_a_file_without_the_required_columns_is_rejected_with_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"instruction": PRIVATE, "output": PRIVATE}))
    message = load_error(path)
    assert message.startswith(
        ": no layout fits; columns found: instruction, output; to name the columns, add `columns: {"
    )
    assert "accepted: prompt, chosen" in message


@pytest.mark.parametrize(("name", "n"), REAL.items())
def test_real_data_is_parsed_without_failures(name: str, n: int) -> None:
    path = SHARED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("the folder of real preference data is missing")
    dataset = File(path=str(path)).load()
    assert (len(dataset.pairs), len(dataset.failures)) == (n, 0)
    assert dataset.layout == "preference, messages, explicit prompt"
    assert all(pair.human for pair in dataset.pairs)
