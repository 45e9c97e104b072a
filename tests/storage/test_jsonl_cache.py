"""Several processes write to one cache: no value is lost, no line is corrupted, and all read the same values."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trimtab.storage.jsonl_cache import JsonlCache
from trimtab.storage.line_checksums import encode_line

NUM_KEYS = 60
WRITERS = ("one", "two", "three")
# Adds every key, in batches of three, and prints each one that it confirmed. The values name the writer.
WRITER = """
import sys
from pathlib import Path
from trimtab.storage.jsonl_cache import JsonlCache
cache = JsonlCache(Path(sys.argv[1]), str)
for start in range(0, int(sys.argv[3]), 3):
    values = {str(key): sys.argv[2] + "x" * 5000 for key in range(start, start + 3)}
    cache.put_many(values)
    print(*values, flush=True)
"""
# Is killed in the middle of a line, while it holds the lock.
KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from trimtab.storage import jsonl_cache
cache = jsonl_cache.JsonlCache(Path(sys.argv[1]), str)

with cache._lock():
    with cache.path.open("ab") as out:
        out.write(jsonl_cache.encode_line({"key": "killed", "value": "x"}, cache.path.name)[:-9])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def collect_skipped(path: Path) -> tuple[JsonlCache[str], list[int]]:
    skipped: list[int] = []
    return JsonlCache(path, str, skipped.append), skipped


def test_three_writers_lose_nothing_while_others_are_killed(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    writers = [start(WRITER, path, name, NUM_KEYS) for name in WRITERS]
    victim = start(WRITER, path, "victim", 30 * NUM_KEYS)
    truncated = start(KILLED_WRITER, path)
    assert victim.stdout is not None
    confirmed = victim.stdout.readline().split()
    time.sleep(0.01)
    victim.kill()
    for writer in (*writers, victim, truncated):
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert (victim.returncode, truncated.returncode) == (-signal.SIGKILL, -signal.SIGKILL)
    cache, skipped = collect_skipped(path)
    keys = [str(key) for key in range(NUM_KEYS)]
    values = cache.get_many(keys)
    assert list(values) == keys
    assert {value.rstrip("x") for value in values.values()} <= {*WRITERS, "victim"}
    assert (set(confirmed) <= set(cache.get_many(confirmed)), skipped) == (True, [])


def test_the_value_of_the_first_writer_wins_for_both(tmp_path: Path) -> None:
    first, second = (JsonlCache(tmp_path / "cache.jsonl", str) for _ in range(2))
    assert first.put_many({"a": "first"}) == {}
    assert second.put_many({"a": "second", "b": "second"}) == {"a": "first"}
    assert first.put_many({"b": "first"}) == {"b": "second"}
    assert first.get_many(["a", "b"]) == second.get_many(["b", "a"]) == {"a": "first", "b": "second"}
    assert len((tmp_path / "cache.jsonl").read_text().splitlines()) == 2


def test_a_reader_sees_what_others_added_and_ignores_an_incomplete_line(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    reader, writer = JsonlCache(path, str), JsonlCache(path, str)
    assert reader.get_many(["a"]) == {}
    writer.put_many({"a": "1"})
    assert reader.get_many(["a"]) == {"a": "1"}
    line = encode_line({"key": "b", "value": "2"}, path.name)
    for part, expected in ((line[:9], {}), (line[9:], {"b": "2"})):
        with path.open("ab") as out:
            out.write(part)
        assert reader.get_many(["b"]) == expected


@pytest.mark.parametrize("replacement", [None, b""])
def test_a_cache_that_is_deleted_while_it_is_used_starts_again(tmp_path: Path, replacement: bytes | None) -> None:
    path = tmp_path / "cache.jsonl"
    cache = JsonlCache(path, str)
    cache.put_many({"a": "1"})
    path.unlink()
    if replacement is not None:
        path.write_bytes(replacement)
    assert cache.get_many(["a"]) == {}
    cache.put_many({"b": "2"})
    assert JsonlCache(path, str).get_many(["a", "b"]) == {"b": "2"}
