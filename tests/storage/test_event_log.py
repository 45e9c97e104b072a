"""The event log: every event is on the disk, a damaged line is named, and a full disk changes nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from trimtab.errors import StoreError
from trimtab.storage.event_log import EventLog


def values(log: EventLog) -> list[int]:
    return [logged.event["value"] for logged in log.read()]


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    """A log with two events."""
    log = EventLog(tmp_path / "ana.jsonl")
    log.read()
    for value in (1, 2):
        log.append({"value": value})
    return log


def test_events_are_read_in_order_with_their_lines(log: EventLog) -> None:
    assert [(logged.line, logged.event) for logged in EventLog(log.path).read()] == [
        (1, {"value": 1}),
        (2, {"value": 2}),
    ]


def test_a_file_that_does_not_exist_has_no_events(tmp_path: Path) -> None:
    assert EventLog(tmp_path / "none.jsonl").read() == []


def test_a_truncated_last_line_is_discarded(log: EventLog) -> None:
    with log.path.open("ab") as file:
        file.write(b'{"value": 3, "sha2')
    resumed = EventLog(log.path)
    assert values(resumed) == [1, 2]
    resumed.append({"value": 4})
    assert values(EventLog(log.path)) == [1, 2, 4]


def test_a_damaged_line_is_named_with_file_and_line(log: EventLog) -> None:
    log.path.write_bytes(log.path.read_bytes().replace(b'"value": 1', b'"value": 7'))
    with pytest.raises(StoreError, match=r"ana\.jsonl:1: the event is damaged"):
        EventLog(log.path).read()


def test_a_full_disk_is_an_error_and_leaves_the_file_unchanged(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before = log.path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="no space left"):
            log.append({"value": 3})
    assert log.path.read_bytes() == before
    log.append({"value": 3})
    assert values(EventLog(log.path)) == [1, 2, 3]


def test_a_file_that_was_replaced_while_in_use_is_an_error(log: EventLog) -> None:
    log.path.unlink()
    with pytest.raises(StoreError, match="shortened or replaced"):
        log.append({"value": 3})


def test_a_second_process_cannot_lock_the_file(log: EventLog) -> None:
    with log.lock(), pytest.raises(StoreError, match=r"ana\.jsonl is in use"), EventLog(log.path).lock():
        pass
    with EventLog(log.path).lock():
        pass
