"""A session saves every answer, undoes any number of them, and resumes from its log."""

from __future__ import annotations

from pathlib import Path

import pytest
from labeling_pool import answer_current, build_pool, open_session

from trimtab.errors import StoreError, StudyError
from trimtab.labeling.events import LabelingSettings
from trimtab.labeling.labeling_session import EVENTS_DIR, LabelingSession, build_event_log, normalize_rater
from trimtab.labeling.rater_history import read_history
from trimtab.storage.line_checksums import decode_line, encode_line

PAIRS = build_pool(60)


def test_an_answer_moves_on_to_the_next_pair(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    first = session.current
    assert first is not None
    assert answer_current(session, "one", "left")
    assert session.current is not None
    assert session.current != first
    (answer,) = session.history.answers
    assert (answer.pair, answer.left, answer.choice, answer.preferred) == (
        first.pair_id,
        first.left,
        "left",
        first.left,
    )
    assert answer.inclusion_probability == 1.0


def test_a_sample_stores_its_inclusion_probability(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS, limit=15)
    answer_current(session, "one", "right")
    assert session.history.answers[0].inclusion_probability == 0.25


def test_a_retry_with_the_same_event_id_is_saved_once(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    assert session.current is not None
    presentation = session.current.id
    for _ in range(2):
        assert session.record_answer("one", presentation, "left", "", 100)
    assert len(session.history.answers) == 1
    assert len(session.log.read()) == 2


def test_an_answer_about_another_pair_than_the_current_one_does_not_count(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    assert session.current is not None
    outdated = session.current.id
    answer_current(session, "one", "left")
    assert not session.record_answer("two", outdated, "right", "", 100)
    assert [each.id for each in session.history.answers] == ["one"]


def test_undo_goes_back_to_the_start_and_is_idempotent(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    first = session.current
    for name in ("one", "two", "three"):
        answer_current(session, name, "left")
    for name in ("three", "two", "one"):
        assert session.undo(f"undo {name}", name)
        assert session.undo(f"undo {name}", name)
    assert session.current == first
    assert not session.undo("again", "one")
    assert session.history.answers == []


def test_a_session_resumes_after_the_last_saved_event(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    for name in ("one", "two", "three"):
        answer_current(session, name, "left")
    session.undo("undo", "three")
    resumed = open_session(tmp_path, PAIRS)
    assert resumed.current == session.current
    assert resumed.history.answers == session.history.answers
    assert len(resumed.history.starts) == 2


def test_all_presentations_can_be_answered_and_a_skipped_pair_is_not_repeated(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    number = 0
    while session.current is not None:
        answer_current(session, str(number), "skip" if number % 2 else "left")
        number += 1
    repeats = [each for each in session.history.answers if each.is_repeat]
    skipped = {each.pair for each in session.history.answers if each.choice == "skip" and not each.is_repeat}
    assert number == 60 + len(repeats)
    assert 0 < len(repeats) < 6
    assert not skipped & {each.pair for each in repeats}


def test_another_pool_is_an_error(tmp_path: Path) -> None:
    open_session(tmp_path, PAIRS)
    with pytest.raises(StudyError, match=r"ana\.jsonl: has labels of another pool \(60 pairs"):
        open_session(tmp_path, build_pool(61))


@pytest.mark.parametrize(("name", "value"), [("seed", 1), ("overlap", 0.5), ("repeats", 0.2)])
def test_a_setting_that_would_change_the_order_is_an_error(tmp_path: Path, name: str, value: float) -> None:
    open_session(tmp_path, PAIRS)
    settings = LabelingSettings(**{"limit": 100, name: value})  # type: ignore[arg-type]
    with pytest.raises(StudyError, match=rf"--{name} {value}: .*was started with --{name}"):
        LabelingSession.resume(build_event_log(tmp_path, "ana"), "ana", PAIRS, settings)


@pytest.mark.parametrize("name", ["ana/eve", "..", "", "a\\b", "ana eve", "a" * 49])
def test_a_rater_name_that_is_not_a_file_name_is_an_error(name: str) -> None:
    with pytest.raises(StudyError, match=r"--rater .*a name consists of letters"):
        normalize_rater(name)


def test_raters_whose_names_differ_in_case_are_the_same() -> None:
    assert normalize_rater("Ana") == "ana"


def test_a_damaged_event_is_named_with_file_and_line(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    answer_current(session, "one", "left")
    path = session.log.path
    path.write_bytes(path.read_bytes().replace(b'"choice": "left"', b'"choice": "righ"'))
    with pytest.raises(StoreError, match=r"events.ana\.jsonl:2: the event is damaged"):
        read_history(build_event_log(tmp_path, "ana"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choice": "both"}, "choice must be one of left, right, no_difference, skip"),
        ({"event": "answers"}, "event must be one of start, answer, undo"),
        ({"more": 1}, "expected the keys"),
    ],
)
def test_an_event_of_another_kind_is_named_with_file_and_line(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    session = open_session(tmp_path, PAIRS)
    answer_current(session, "one", "left")
    path = tmp_path / EVENTS_DIR / "ana.jsonl"
    start, answer = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(start + encode_line(decode_line(answer, path.name) | change, path.name))
    with pytest.raises(StoreError, match=rf"ana\.jsonl:2: {message}"):
        read_history(build_event_log(tmp_path, "ana"))


def test_an_event_that_is_there_twice_is_named(tmp_path: Path) -> None:
    session = open_session(tmp_path, PAIRS)
    answer_current(session, "one", "left")
    path = session.log.path
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[1])
    with pytest.raises(StoreError, match=r":3: the event one is there twice"):
        read_history(build_event_log(tmp_path, "ana"))
