"""Answers that were paid for are asked for once: after a kill in the middle of a search, and where arms begin alike."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from trimtab.components import Component, build
from trimtab.data.file import File
from trimtab.data.split import Split
from trimtab.engines.scripted import ScriptedEngine
from trimtab.labeling import label_file
from trimtab.protocols import Runtime, Tick
from trimtab.stages.annotate import Reads, annotate_stage
from trimtab.stages.asked import Asked
from trimtab.stages.split import split_stage
from trimtab.store import Artifact, Store
from trimtab.types import Question, Reply, Weighing, user

QUESTIONS = [Question(prompt=user(text)) for text in ("Is it so?", "And this?")]
PAIRS = 24
FOREVER = 10_000


def drawn(question: Question, place: int = 0) -> int:
    """A figure of 0 to 255 that is the question's own, so that searches differ."""
    return hashlib.sha256(f"{place}{question.prompt[0].content}{question.begins}".encode()).digest()[0]


@dataclass(frozen=True, slots=True)
class DyingEngine:
    """The scripted engine, which notes each call in a file and, in the call of this number, kills its own process."""

    inner: ScriptedEngine
    calls: Path
    die_at: int

    def _called(self) -> None:
        with self.calls.open("a") as out:
            out.write("called\n")
        if len(self.calls.read_text().splitlines()) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(
        self,
        questions: Sequence[Question],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Reply]:
        self._called()
        return self.inner.write(questions, max_tokens=max_tokens, temperature=temperature, stop=stop, seed=seed)

    def weigh(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[str]],
        *,
        first_token: bool = False,
        ended: bool = False,
    ) -> list[Weighing]:
        self._called()
        return self.inner.weigh(questions, candidates, first_token=first_token, ended=ended)


class Dying(Component):
    """An engine by its file of calls."""

    PLACES: ClassVar[frozenset[str]] = frozenset({"calls", "die_at"})  # no part of what it is

    calls: str
    die_at: int = FOREVER

    def start(self, runtime: Runtime) -> DyingEngine:
        del runtime
        inner = ScriptedEngine(
            write=lambda question: f"thought {drawn(question)}",
            weigh=lambda question, among: [1.0 + drawn(question, place) for place, _ in enumerate(among)],
        )
        return DyingEngine(inner, Path(self.calls), self.die_at)

    def identity(self) -> str:
        return "the same model"


def pairs_in(folder: Path) -> Path:
    """The folder's file of pairs."""
    folder.mkdir(exist_ok=True)
    rows = [
        {"prompt": f"What of {n}?", "response_a": f"one {n}", "response_b": f"two {n}", "label": "a"}
        for n in range(PAIRS)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "pairs.jsonl"


def searched(folder: Path, calls: Path, die_at: int = FOREVER, **settings: Any) -> Artifact:
    """The labels of a run's stage that asks, made in `folder`."""
    path = pairs_in(folder)
    split = split_stage({"all": File(path=str(path))}, Split(labeled=0.2, test=0.2), 512, {})
    engine = {"kind": "test_asked:Dying", "calls": str(calls), "die_at": die_at}
    annotator = build("annotators", {"kind": "seam", "weak": engine, "strong": engine, **settings})
    labels = annotate_stage("annotate.seam", annotator, split, Reads())
    store, runtime = Store(folder), Runtime(progress=quiet, notify=lambda text: None)
    found = store.find_or_make("split", split.recipe, lambda draft: split.make(draft, {}, runtime))
    return store.find_or_make(labels.name, labels.recipe, lambda draft: labels.make(draft, {"split": found}, runtime))


def labeled(folder: Path, calls: Path, die_at: int = FOREVER) -> str:
    """The labels of the same pairs without a study."""
    engine = json.dumps({"kind": "test_asked:Dying", "calls": str(calls), "die_at": die_at})
    to = folder / "labels.jsonl"
    settings = [f"weak={engine}", f"strong={engine}"]
    label_file(pairs_in(folder), "seam", settings, None, to, Runtime(progress=quiet, notify=lambda text: None))
    return to.read_text()


@contextmanager
def quiet(label: str, total: int, unit: str) -> Iterator[Tick]:
    del label, total, unit
    yield lambda done=1: None


def n_calls(calls: Path) -> int:
    return len(calls.read_text().splitlines()) if calls.is_file() else 0


def killed(making: str, folder: Path, calls: Path, die_at: int) -> int:
    """How a process that makes the labels ended."""
    command = [sys.executable, str(Path(__file__)), making, str(folder), str(calls), str(die_at)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("die_at", [1, 8])
def test_a_search_that_was_killed_makes_no_call_twice_but_the_last(tmp_path: Path, die_at: int) -> None:
    whole, calls = searched(tmp_path / "whole", tmp_path / "calls"), tmp_path / "calls of the killed"
    assert n_calls(tmp_path / "calls") > die_at
    assert killed("searched", tmp_path / "run", calls, die_at) == -signal.SIGKILL
    assert n_calls(calls) == die_at
    again = searched(tmp_path / "run", calls)
    assert n_calls(calls) == n_calls(tmp_path / "calls") + 1  # the call in which it was killed
    assert again.rows("annotations") == whole.rows("annotations")
    tables = [each.folder / "annotations.parquet" for each in (again, whole)]
    assert tables[0].read_bytes() == tables[1].read_bytes()


def test_labels_without_a_study_go_on_as_well(tmp_path: Path) -> None:
    whole, calls = labeled(tmp_path / "whole", tmp_path / "calls"), tmp_path / "calls of the killed"
    assert killed("labeled", tmp_path / "again", calls, 5) == -signal.SIGKILL
    assert (tmp_path / "again" / "labels.jsonl.asked").is_dir()
    assert labeled(tmp_path / "again", calls) == whole
    assert n_calls(calls) == n_calls(tmp_path / "calls") + 1
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"pairs.jsonl", "labels.jsonl"}


def test_an_arm_that_searches_alike_asks_for_the_labels_alone(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    searched(tmp_path / "run", calls, max_thought_tokens=32)
    before = n_calls(calls)
    blind = searched(tmp_path / "run", calls, max_thought_tokens=32, show_thoughts=False)
    assert n_calls(calls) == before + 1
    assert all(row["calls"] > 1 for row in blind.rows("annotations"))  # what an answer cost stays with it


def test_an_answer_that_failed_is_asked_for_again(tmp_path: Path) -> None:
    said = [Reply(text="", status="failed", note="busy"), Reply(text="well")]

    class Busy(ScriptedEngine):
        def write(self, questions: Sequence[Question], **_: Any) -> list[Reply]:
            return [said.pop(0) for _ in questions]

    engine = Asked(engine=Busy(), identity="busy", folder=tmp_path / "asked")
    assert engine.write(QUESTIONS[:1], max_tokens=5)[0].note == "busy"
    assert [engine.write(QUESTIONS[:1], max_tokens=5)[0].text for _ in range(2)] == ["well", "well"]
    assert said == []


def test_another_model_another_question_and_another_way_of_asking_are_asked(tmp_path: Path) -> None:
    inner, folder = ScriptedEngine(write=lambda _: "so it is"), tmp_path / "asked"
    engine = Asked(engine=inner, identity="one", folder=folder)
    for _ in range(2):
        engine.write(QUESTIONS[:1], max_tokens=5)
        engine.write(QUESTIONS[:1], max_tokens=2)
        engine.write(QUESTIONS[1:], max_tokens=5)
        engine.weigh(QUESTIONS[:1], [("yes", "no")])
        engine.weigh(QUESTIONS[:1], [("yes", "no")], ended=True)
        Asked(engine=inner, identity="other", folder=folder).write(QUESTIONS[:1], max_tokens=5)
    assert len(inner.asked) == 6


def test_an_answer_from_disk_is_the_answer_that_was_given(tmp_path: Path) -> None:
    inner = ScriptedEngine(write=lambda _: "so\nit is", weigh=lambda _, among: [1.0, 0.0, 2.0])
    engine = Asked(engine=inner, identity="one", folder=tmp_path / "asked")
    wanted = inner.write(QUESTIONS, max_tokens=5), inner.weigh(QUESTIONS, [("a", "b", "c")] * 2)
    for _ in range(2):
        assert engine.write(QUESTIONS, max_tokens=5) == wanted[0]
        assert engine.weigh(QUESTIONS, [("a", "b", "c")] * 2) == wanted[1]  # minus infinity and all


if __name__ == "__main__":
    make = labeled if sys.argv[1] == "labeled" else searched
    make(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
