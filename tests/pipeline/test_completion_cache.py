"""Answers that were paid for are asked for once: after a kill in the middle of a search, and where arms begin alike."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from trimtab.core.component import Component, build_component
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.data.split import SplitSettings
from trimtab.engines.scripted import ScriptedEngine
from trimtab.errors import EngineError, StoreError
from trimtab.pipeline.completion_cache import PAIRS_PER_CHUNK, CachedEngine
from trimtab.pipeline.stages.annotate import AnnotatorDependencies, annotate_stage
from trimtab.pipeline.stages.split import split_stage
from trimtab.sources.file import File
from trimtab.storage.artifacts import Artifact, Store
from trimtab.types import ChoiceScores, EngineRequest, Generation, build_user_prompt
from trimtab.workflows.annotate_file import annotate_file

QUESTIONS = [EngineRequest(prompt=build_user_prompt(text)) for text in ("Is it so?", "And this?")]
PAIRS = 24
FOREVER = 10_000


def drawn(question: EngineRequest, place: int = 0) -> int:
    """A figure of 0 to 255 that is the question's own, so that searches differ."""
    return hashlib.sha256(f"{place}{question.prompt[0].content}{question.prefill}".encode()).digest()[0]


@dataclass(frozen=True, slots=True)
class DyingEngine:
    """The scripted engine, which notes each call in a file, tells seconds that were really measured, as every engine does that
    ships, and, in the call of this number, kills its own process."""

    inner: ScriptedEngine
    calls: Path
    die_at: int

    def _called(self) -> None:
        with self.calls.open("a") as out:
            out.write("called\n")
        if len(self.calls.read_text().splitlines()) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def generate(
        self,
        questions: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        self._called()
        start = time.perf_counter()
        found = self.inner.generate(
            questions, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop, seed=seed
        )
        return [replace(each, cost=replace(each.cost, seconds=time.perf_counter() - start)) for each in found]

    def score_choices(
        self,
        questions: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        self._called()
        start = time.perf_counter()
        found = self.inner.score_choices(
            questions, candidates, first_token_only=first_token_only, include_end_of_turn=include_end_of_turn
        )
        return [replace(each, cost=replace(each.cost, seconds=time.perf_counter() - start)) for each in found]


class Dying(Component):
    """An engine by its file of calls."""

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"calls", "die_at"})  # no part of what it is

    calls: str
    die_at: int = FOREVER

    def start(self, runtime: Runtime) -> DyingEngine:
        del runtime
        inner = ScriptedEngine(
            reply=lambda question: f"thought {drawn(question)}",
            choice_weights=lambda question, among: [1.0 + drawn(question, place) for place, _ in enumerate(among)],
        )
        return DyingEngine(inner, Path(self.calls), self.die_at)

    def content_hash(self) -> str:
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


def searched(
    folder: Path, calls: Path, die_at: int = FOREVER, chunk: int = PAIRS_PER_CHUNK, **settings: Any
) -> Artifact:
    """The labels of a run's stage that asks, made in `folder`."""
    path = pairs_in(folder)
    split = split_stage({"all": File(path=str(path))}, SplitSettings(labeled=0.2, test=0.2), 512, {})
    engine = {"kind": "test_asked:Dying", "calls": str(calls), "die_at": die_at}
    annotator = build_component("annotators", {"kind": "seam", "weak": engine, "strong": engine, **settings})
    labels = annotate_stage("annotate.seam", annotator, split, AnnotatorDependencies(), chunk_size=chunk)
    store, runtime = Store(folder), Runtime(progress=quiet, notify=lambda text: None)
    found = store.get_or_create("split", split.recipe, lambda draft: split.execute(draft, {}, runtime))
    return store.get_or_create(
        labels.name, labels.recipe, lambda draft: labels.execute(draft, {"split": found}, runtime)
    )


def labeled(folder: Path, calls: Path, die_at: int = FOREVER, chunk: int = PAIRS_PER_CHUNK) -> list[dict[str, Any]]:
    """The labels of the same pairs without a study, but for the seconds."""
    del chunk
    engine = json.dumps({"kind": "test_asked:Dying", "calls": str(calls), "die_at": die_at})
    to = folder / "labels.jsonl"
    settings = [f"weak={engine}", f"strong={engine}"]
    annotate_file(pairs_in(folder), "seam", settings, None, to, Runtime(progress=quiet, notify=lambda text: None))
    return [{**json.loads(line), "seconds": None} for line in to.read_text().splitlines()]


def unmeasured(labels: Artifact) -> list[dict[str, Any]]:
    """The labels without what is measured."""
    return [{**row, "seconds": None} for row in labels.read_rows("annotations")]


@contextmanager
def quiet(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


def n_calls(calls: Path) -> int:
    return len(calls.read_text().splitlines()) if calls.is_file() else 0


def killed(making: str, folder: Path, calls: Path, die_at: int, chunk: int = PAIRS_PER_CHUNK) -> int:
    """How a process that makes the labels ended."""
    command = [sys.executable, str(Path(__file__)), making, str(folder), str(calls), str(die_at), str(chunk)]
    return subprocess.run(command, capture_output=True, check=False).returncode


# In chunks of 5 pairs the search of a chunk is some eight calls, so the 20th is in the third chunk.
@pytest.mark.parametrize(("die_at", "chunk"), [(1, PAIRS_PER_CHUNK), (8, PAIRS_PER_CHUNK), (20, 5)])
def test_a_search_that_was_killed_makes_no_call_twice_but_the_last(tmp_path: Path, die_at: int, chunk: int) -> None:
    whole, calls = searched(tmp_path / "whole", tmp_path / "calls", chunk=chunk), tmp_path / "calls of the killed"
    assert n_calls(tmp_path / "calls") > die_at
    assert killed("searched", tmp_path / "run", calls, die_at, chunk) == -signal.SIGKILL
    assert n_calls(calls) == die_at
    again = searched(tmp_path / "run", calls, chunk=chunk)
    assert n_calls(calls) == n_calls(tmp_path / "calls") + 1  # the call in which it was killed
    assert unmeasured(again) == unmeasured(whole)


def test_seconds_stay_with_the_answers_so_that_labels_made_again_have_the_same_bytes(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    before = searched(tmp_path / "run", calls)
    asked, table = n_calls(calls), (before.folder / "annotations.parquet").read_bytes()
    shutil.rmtree(before.folder)
    again = searched(tmp_path / "run", calls)
    assert n_calls(calls) == asked
    assert all(row["seconds"] > 0 for row in again.read_rows("annotations"))
    assert (again.folder / "annotations.parquet").read_bytes() == table


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
    assert all(row["calls"] > 1 for row in blind.read_rows("annotations"))  # what an answer cost stays with it


def test_an_answer_that_failed_is_asked_for_again(tmp_path: Path) -> None:
    said = [Generation(text="", status="failed", note="busy"), Generation(text="well")]

    class Busy(ScriptedEngine):
        def generate(self, questions: Sequence[EngineRequest], **_: Any) -> list[Generation]:
            return [said.pop(0) for _ in questions]

    engine = CachedEngine(engine=Busy(), cache_key="busy", folder=tmp_path / "asked")
    assert engine.generate(QUESTIONS[:1], max_new_tokens=5)[0].note == "busy"
    assert [engine.generate(QUESTIONS[:1], max_new_tokens=5)[0].text for _ in range(2)] == ["well", "well"]
    assert said == []


def test_an_answer_that_failed_takes_no_other_with_it(tmp_path: Path) -> None:
    fails = {QUESTIONS[1]}

    class Picky(ScriptedEngine):
        def score_choices(self, questions: Sequence[EngineRequest], *others: Any, **how: Any) -> list[ChoiceScores]:
            found = ScriptedEngine.score_choices(self, questions, *others, **how)
            failed = ChoiceScores(probabilities=(), status="failed", note="refused")
            return [failed if each in fails else answer for each, answer in zip(questions, found, strict=True)]

    inner, among = Picky(), [("yes", "no")] * 2
    engine = CachedEngine(engine=inner, cache_key="picky", folder=tmp_path / "asked")
    assert [each.status for each in engine.score_choices(QUESTIONS, among)] == ["ok", "failed"]
    assert [each.status for each in engine.score_choices(QUESTIONS, among)] == ["ok", "failed"]
    fails.clear()
    assert [each.status for each in engine.score_choices(QUESTIONS, among)] == ["ok", "ok"]
    assert inner.requests == [*QUESTIONS, QUESTIONS[1], QUESTIONS[1]]


def test_questions_that_come_in_other_company_are_known(tmp_path: Path) -> None:
    inner = ScriptedEngine(reply=lambda question: question.prompt[0].content)
    engine = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "asked")
    engine.generate(QUESTIONS[:1], max_new_tokens=5)
    more = [EngineRequest(prompt=build_user_prompt("Why?")), *QUESTIONS]
    assert [each.text for each in engine.generate(more, max_new_tokens=5)] == ["Why?", "Is it so?", "And this?"]
    assert inner.requests == [QUESTIONS[0], more[0], more[2]]


def test_a_question_that_is_put_twice_is_asked_once(tmp_path: Path) -> None:
    inner = ScriptedEngine(reply=lambda _: "well")
    engine = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "asked")
    assert [each.text for each in engine.generate(QUESTIONS[:1] * 3, max_new_tokens=5)] == ["well"] * 3
    assert inner.requests == QUESTIONS[:1]


@dataclass(frozen=True)
class Handing:
    """Hands out an answer at a time, and goes before that of this place."""

    gone_at: int
    asked: list[int] = field(default_factory=list)

    def iter_generate(
        self, questions: Sequence[EngineRequest], *, skip: Container[int] = (), **how: Any
    ) -> Iterator[dict[int, Generation]]:
        del how
        for place, question in enumerate(questions):
            if place not in skip:
                self.asked.append(place)
                if place == self.gone_at:
                    raise EngineError("gone")
                yield {place: Generation(text=question.prompt[0].content)}

    def iter_score_choices(self, *_: Any, **__: Any) -> Iterator[dict[int, ChoiceScores]]:
        raise NotImplementedError

    def generate(self, questions: Sequence[EngineRequest], **how: Any) -> list[Generation]:
        raise NotImplementedError

    def score_choices(self, *_: Any, **__: Any) -> list[ChoiceScores]:
        raise NotImplementedError


def test_what_an_engine_handed_out_before_it_went_is_kept(tmp_path: Path) -> None:
    many = [EngineRequest(prompt=build_user_prompt(f"Question {n}?")) for n in range(4)]
    first, second = Handing(gone_at=2), Handing(gone_at=9)
    with pytest.raises(EngineError, match="gone"):
        CachedEngine(engine=first, cache_key="one", folder=tmp_path / "asked").generate(many, max_new_tokens=5)
    found = CachedEngine(engine=second, cache_key="one", folder=tmp_path / "asked").generate(many, max_new_tokens=5)
    assert [each.text for each in found] == [f"Question {n}?" for n in range(4)]
    assert (first.asked, second.asked) == ([0, 1, 2], [2, 3])


def test_an_engine_that_hands_out_nothing_is_asked_a_slice_at_a_time(tmp_path: Path) -> None:
    many = [EngineRequest(prompt=build_user_prompt(f"Question {n}?")) for n in range(5)]
    sizes: list[int] = []

    class Counted(ScriptedEngine):
        def score_choices(self, questions: Sequence[EngineRequest], *others: Any, **how: Any) -> list[ChoiceScores]:
            sizes.append(len(questions))
            return ScriptedEngine.score_choices(self, questions, *others, **how)

    engine = CachedEngine(engine=Counted(), cache_key="one", folder=tmp_path / "asked", requests_per_call=2)
    assert [each.probabilities for each in engine.score_choices(many, [("a", "b")] * 5)] == [(0.5, 0.5)] * 5
    assert sizes == [2, 2, 1]


def test_a_line_that_a_kill_cut_short_is_asked_again_and_leaves_the_others_whole(tmp_path: Path) -> None:
    def asked(questions: Sequence[EngineRequest]) -> list[EngineRequest]:
        inner = ScriptedEngine(reply=lambda question: question.prompt[0].content)
        found = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "asked").generate(
            questions, max_new_tokens=5
        )
        assert [each.text for each in found] == [each.prompt[0].content for each in questions]
        return inner.requests

    assert asked(QUESTIONS) == QUESTIONS
    (file,) = (tmp_path / "asked").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert asked(QUESTIONS) == QUESTIONS[1:]
    assert asked(QUESTIONS) == []
    assert len(file.read_text().splitlines()) == 2
    file.write_text("no JSON\n")
    with pytest.raises(StoreError, match=r"\.jsonl is damaged at byte 0 .*; delete it"):
        asked(QUESTIONS)


def test_another_model_another_question_and_another_way_of_asking_are_asked(tmp_path: Path) -> None:
    inner, folder = ScriptedEngine(reply=lambda _: "so it is"), tmp_path / "asked"
    engine = CachedEngine(engine=inner, cache_key="one", folder=folder)
    for _ in range(2):
        engine.generate(QUESTIONS[:1], max_new_tokens=5)
        engine.generate(QUESTIONS[:1], max_new_tokens=2)
        engine.generate(QUESTIONS[1:], max_new_tokens=5)
        engine.score_choices(QUESTIONS[:1], [("yes", "no")])
        engine.score_choices(QUESTIONS[:1], [("yes", "no")], include_end_of_turn=True)
        CachedEngine(engine=inner, cache_key="other", folder=folder).generate(QUESTIONS[:1], max_new_tokens=5)
    assert len(inner.requests) == 6


def test_an_answer_from_disk_is_the_answer_that_was_given(tmp_path: Path) -> None:
    inner = ScriptedEngine(reply=lambda _: "so\nit is", choice_weights=lambda _, among: [1.0, 0.0, 2.0])
    engine = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "asked")
    wanted = inner.generate(QUESTIONS, max_new_tokens=5), inner.score_choices(QUESTIONS, [("a", "b", "c")] * 2)
    for _ in range(2):
        assert engine.generate(QUESTIONS, max_new_tokens=5) == wanted[0]
        assert engine.score_choices(QUESTIONS, [("a", "b", "c")] * 2) == wanted[1]  # minus infinity and all


if __name__ == "__main__":
    make = labeled if sys.argv[1] == "labeled" else searched
    make(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
