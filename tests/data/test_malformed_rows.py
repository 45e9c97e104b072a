"""Malformed rows of every format: each row is a pair or a counted failure, and none raises."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.component import build_component
from trimtab.errors import DataError
from trimtab.sources.file import File
from trimtab.types import Dataset

GOOD = {"prompt": "Name a color.", "chosen": "Blue.", "rejected": "Seven."}
COLUMNS = (
    *(
        "prompt",
        "context",
        "history",
        "instruction",
        "question",
        "chosen",
        "rejected",
        "chosen_response",
        "rejected_response",
    ),
    *("response_a", "response_b", "response_0", "response_1", "response_2", "response1", "response2", "response"),
    *(
        "human_ref_A",
        "human_ref_B",
        "conversation_a",
        "conversation_b",
        "completions",
        "answers",
        "labels",
        "label",
        "winner",
    ),
    *(
        "preference",
        "winner_model_a",
        "winner_model_b",
        "winner_tie",
        "preference_strength",
        "overall_preference",
        "score",
    ),
    *("system", "system_prompt", "tools", "images", "is_response_0_safe", "is_response_1_safe", "better_response_id"),
    *("safer_response_id", "helpfulness", "", 'a name, with "quotes"\n'),
)
LAYOUTS = (
    ("prompt", "chosen", "rejected"),
    ("chosen", "rejected"),
    ("context", "response1", "response2", "overall_preference"),
    ("prompt", "response_a", "response_b", "label"),
    ("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"),
    ("history", "human_ref_A", "human_ref_B", "labels"),
    ("conversation_a", "conversation_b", "winner"),
    ("prompt", "response_0", "response_1", *COLUMNS[-7:-3]),
    ("instruction", "completions"),
    ("prompt", "answers"),
)
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"turns": "last"},
    {"layout": "implicit"},
    {"columns": {"label": "score"}, "label_values": {"1": "a", "2": "b"}},
    {"columns": {"system": None, "history": None, "label": None}},
)


def generate_text(rng: random.Random) -> str:
    return rng.choice(
        (
            *(
                "",
                " ",
                "a",
                "Blue.",
                "tie",
                "1",
                "-3",
                "0.0",
                "nan",
                "true",
                "\ud800",
                "\x00",
                "\udc80",
                "é" * 9,
                "x" * 5000,
            ),
            *(
                "[]",
                "[1]",
                '["a"]',
                '["a", null]',
                '[["a", "b"]]',
                "{}",
                '{"role": "user"}',
                "[" * 3000,
                '"',
                '","',
                "\r\n",
                "\n",
            ),
            *(
                "\n\nHuman: Hi\n\nAssistant: Yes",
                "\r\n\r\nHuman: Hi\r\n\r\nAssistant:",
                "Human:",
                "\n\nAssistant: x",
                " " * 3000,
            ),
            *(
                "<|im_start|>user\nHi",
                "[INST] Hi [/INST]",
                "<extra_id_1>User\nHi",
                "Hi\n<extra_id_1>Assistant\nYes",
                "</s>",
            ),
            f"text {rng.random()}",
        )
    )


def generate_message(rng: random.Random) -> Any:
    keys = (
        "role",
        "content",
        "from",
        "value",
        "text",
        "tool_calls",
        "type",
        "rank",
        "response",
        "overall_score",
        "answer",
    )
    if rng.random() < 0.6:
        return {"role": rng.choice(("user", "assistant", "system", "tool")), "content": generate_text(rng)}
    return {key: generate_value(rng, depth=2) for key in rng.sample(keys, rng.randint(0, 4))}


def generate_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if kind < 0.5 or depth > 3:
        return generate_text(rng)
    if kind < 0.7:
        return rng.choice((None, True, False, 0, 1, 2, -3, 0.5, float("nan"), float("inf"), 10**30, -1e300))
    if kind < 0.9:
        return [generate_message(rng) for _ in range(rng.randint(0, 4))]
    if kind < 0.95:
        return {key: [generate_text(rng) for _ in range(rng.randint(0, 3))] for key in ("role", "content")}
    return rng.choice(
        ([], {}, [[]], [["a", "b"]], [generate_value(rng, depth + 1)], {"role": generate_value(rng, depth + 1)})
    )


def generate_row(rng: random.Random) -> dict[str, Any]:
    names = [*rng.choice(LAYOUTS), *rng.sample(COLUMNS, rng.randint(0, 3))]
    row = {name: generate_value(rng) for name in names}
    if rng.random() < 0.2:
        del row[rng.choice(names)]
    return row


def load(path: Path, settings: dict[str, Any]) -> Dataset | None:
    """The pairs and failures; None if the file as a whole is refused."""
    source = build_component("sources", {"kind": "file", "path": str(path), **settings})
    assert isinstance(source, File)
    try:
        return source.load()
    except DataError as error:
        assert str(path) in str(error)
        return None


def count_rows(dataset: Dataset) -> int:
    return len(dataset.pairs) + len(dataset.failures)


def write_json_lines(path: Path, rows: list[dict[str, Any]], rng: random.Random) -> int:
    """Writes rows, some of them damaged, and returns the number of lines."""
    lines = [json.dumps(row) for row in rows]
    for index in range(len(lines)):
        if rng.random() < 0.1:
            position = rng.randrange(len(lines[index]) + 1)
            lines[index] = (
                "x" + lines[index][:position] + rng.choice(("", "\x00", "}", '"', "[" * 2000)) + lines[index][position:]
            )
    path.write_bytes("\n".join([json.dumps(GOOD), *lines]).encode("utf-8", "surrogatepass"))
    return len(lines) + 1


def write_json_array(path: Path, rows: list[dict[str, Any]]) -> int:
    path.write_text(json.dumps([GOOD, *rows, 7]))
    return len(rows) + 2


def write_csv(path: Path, rows: list[dict[str, Any]], rng: random.Random) -> int:
    """Writes rows of the columns of one layout, some with a cell too many, with a random delimiter and encoding."""
    header = [*dict.fromkeys((*GOOD, *rng.choice(LAYOUTS)))]
    encoding = rng.choice(("utf-8", "utf-8-sig", "utf-16"))
    with path.open("w", encoding=encoding, errors="replace", newline="") as stream:
        writer = csv.writer(stream, delimiter=rng.choice(",;\t"), quoting=csv.QUOTE_ALL)
        writer.writerow(header)
        writer.writerow([GOOD.get(name, "") for name in header])
        for row in rows:
            cells = [row.get(name, generate_text(rng)) for name in header]
            writer.writerow([*cells, "more"] if rng.random() < 0.1 else cells)
    return len(rows) + 1


def write_parquet(path: Path, rows: list[dict[str, Any]], rng: random.Random) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = (pa.string(), pa.int64(), pa.binary(), pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})))
    texts = [*dict.fromkeys((*GOOD, *rng.choice(LAYOUTS)))]
    columns = {}
    for name in texts:
        column_type = pa.string() if name in GOOD else rng.choice(types)
        values = [GOOD.get(name) if name in GOOD else None]
        values += [value if fits(value := row.get(name), column_type) else None for row in rows]
        columns[name] = pa.array(values if fits(values, pa.list_(column_type)) else [None] * len(values), column_type)
    pq.write_table(pa.table(columns), path)
    return len(rows) + 1


def fits(value: Any, column_type: Any) -> bool:
    import pyarrow as pa

    try:
        pa.array([value], column_type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return True


def check_malformed_rows(folder: Path, seed: int, count: int) -> None:
    """Writes `count` random rows in each format, and loads them with each of the settings."""
    rng = random.Random(seed)
    rows = [generate_row(rng) for _ in range(count)]
    expected = {
        "p.jsonl": write_json_lines(folder / "p.jsonl", rows, rng),
        "p.json": write_json_array(folder / "p.json", rows),
        "p.csv": write_csv(folder / "p.csv", rows, rng),
        "p.parquet": write_parquet(folder / "p.parquet", rows, rng),
    }
    for name, n_rows in expected.items():
        for settings in SETTINGS:
            dataset = load(folder / name, settings)
            if dataset is not None:
                assert count_rows(dataset) == n_rows, (name, settings)
        assert load(folder / name, {}) is not None, name


@pytest.mark.parametrize("seed", range(6))
def test_every_malformed_row_is_a_pair_or_a_counted_failure(tmp_path: Path, seed: int) -> None:
    check_malformed_rows(tmp_path, seed, 40)


def test_the_order_of_the_rows_changes_neither_pairs_nor_reasons(tmp_path: Path) -> None:
    rng = random.Random(7)
    rows = [GOOD, *(generate_row(rng) for _ in range(300))]
    results = []
    for name in ("one.jsonl", "other.jsonl"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
        dataset = load(tmp_path / name, {})
        assert dataset is not None
        results.append(
            ({pair.id: pair for pair in dataset.pairs}, sorted(failure.reason for failure in dataset.failures))
        )
        rng.shuffle(rows)
    assert results[0] == results[1]


def test_random_bytes_are_refused_or_counted(tmp_path: Path) -> None:
    rng = random.Random(3)
    for name in ("p.jsonl", "p.json", "p.csv", "p.tsv", "p.parquet", "p.jsonl.gz"):
        for size in (0, 1, 7, 500):
            (tmp_path / name).write_bytes(rng.randbytes(size))
            assert load(tmp_path / name, {}) is None
