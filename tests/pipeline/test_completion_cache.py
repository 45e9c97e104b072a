"""Engine responses are computed once: after a kill during a search, and for arms that send the same requests."""

from __future__ import annotations

import hashlib
import json
import math
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
from trimtab.errors import EngineError
from trimtab.pipeline.annotator_dependencies import AnnotatorDependencies
from trimtab.pipeline.completion_cache import PAIRS_PER_CHUNK, CachedEngine
from trimtab.pipeline.stages.annotate import annotate_stage
from trimtab.pipeline.stages.split import split_stage
from trimtab.sources.file import File
from trimtab.storage.artifacts import Artifact, Store
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation, build_user_prompt
from trimtab.workflows.annotate_file import annotate_file

REQUESTS = [EngineRequest(prompt=build_user_prompt(text)) for text in ("Is it so?", "And this?")]
NUM_PAIRS = 24
NEVER = 10_000


def hash_request(request: EngineRequest, index: int = 0) -> int:
    """A number from 0 to 255 that depends on the request, so that searches differ."""
    return hashlib.sha256(f"{index}{request.prompt[0].content}{request.prefill}".encode()).digest()[0]


@dataclass(frozen=True, slots=True)
class DyingEngine:
    """A scripted engine that logs each call to a file, measures seconds like the built-in engines, and kills its own process
    in the call number `die_at`."""

    inner: ScriptedEngine
    calls: Path
    die_at: int

    def _log_call(self) -> None:
        with self.calls.open("a") as out:
            out.write("call\n")
        if len(self.calls.read_text().splitlines()) == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        self._log_call()
        start = time.perf_counter()
        results = self.inner.generate(
            requests, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop, seed=seed
        )
        seconds = time.perf_counter() - start
        return [replace(result, cost=replace(result.cost, seconds=seconds)) for result in results]

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        self._log_call()
        start = time.perf_counter()
        results = self.inner.score_choices(
            requests, candidates, first_token_only=first_token_only, include_end_of_turn=include_end_of_turn
        )
        seconds = time.perf_counter() - start
        return [replace(result, cost=replace(result.cost, seconds=seconds)) for result in results]


class Dying(Component):
    """Settings of a `DyingEngine`."""

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"calls", "die_at"})  # not part of its identity

    calls: str
    die_at: int = NEVER

    def start(self, runtime: Runtime) -> DyingEngine:
        del runtime
        inner = ScriptedEngine(
            reply=lambda request: f"thought {hash_request(request)}",
            choice_weights=lambda request, candidates: [
                1.0 + hash_request(request, index) for index, _ in enumerate(candidates)
            ],
        )
        return DyingEngine(inner, Path(self.calls), self.die_at)

    def content_hash(self) -> str:
        return "the same model"


def write_pairs(folder: Path) -> Path:
    """Writes the folder's file of pairs."""
    folder.mkdir(exist_ok=True)
    rows = [
        {"prompt": f"What of {n}?", "response_a": f"one {n}", "response_b": f"two {n}", "label": "a"}
        for n in range(NUM_PAIRS)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "pairs.jsonl"


def label_in_study(
    folder: Path, calls: Path, die_at: int = NEVER, chunk: int = PAIRS_PER_CHUNK, **settings: Any
) -> Artifact:
    """The artifact of an annotation stage in `folder`."""
    path = write_pairs(folder)
    split = split_stage({"all": File(path=str(path))}, SplitSettings(labeled=0.2, test=0.2), 512, {})
    engine = {"kind": "test_completion_cache:Dying", "calls": str(calls), "die_at": die_at}
    annotator = build_component("annotators", {"kind": "seam", "weak": engine, "strong": engine, **settings})
    labels = annotate_stage("annotate.seam", annotator, split, AnnotatorDependencies(), chunk_size=chunk)
    store, runtime = Store(folder), Runtime(progress=quiet, notify=lambda text: None)
    split_artifact = store.get_or_create("split", split.recipe, lambda draft: split.execute(draft, {}, runtime))
    return store.get_or_create(
        labels.name, labels.recipe, lambda draft: labels.execute(draft, {"split": split_artifact}, runtime)
    )


def label_file(folder: Path, calls: Path, die_at: int = NEVER, chunk: int = PAIRS_PER_CHUNK) -> list[dict[str, Any]]:
    """The labels of the same pairs without a study, without their seconds."""
    del chunk
    engine = json.dumps({"kind": "test_completion_cache:Dying", "calls": str(calls), "die_at": die_at})
    output = folder / "labels.jsonl"
    settings = [f"weak={engine}", f"strong={engine}"]
    annotate_file(
        write_pairs(folder), "seam", settings, None, output, Runtime(progress=quiet, notify=lambda text: None)
    )
    measured = {"trimtab_seconds": None, "trimtab_file": None}  # the folder is another one
    return [{**json.loads(line), **measured} for line in output.read_text().splitlines()]


def without_seconds(labels: Artifact) -> list[dict[str, Any]]:
    """The labels without their measured seconds."""
    return [{**row, "seconds": None} for row in labels.read_rows("annotations")]


@contextmanager
def quiet(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


def count_calls(calls: Path) -> int:
    return len(calls.read_text().splitlines()) if calls.is_file() else 0


def run_until_killed(function: str, folder: Path, calls: Path, die_at: int, chunk: int = PAIRS_PER_CHUNK) -> int:
    """Labels in another process; returns its exit status."""
    command = [sys.executable, str(Path(__file__)), function, str(folder), str(calls), str(die_at), str(chunk)]
    return subprocess.run(command, capture_output=True, check=False).returncode


# In chunks of 5 pairs the search of a chunk makes about eight calls, so the 20th is in the third chunk.
@pytest.mark.parametrize(("die_at", "chunk"), [(1, PAIRS_PER_CHUNK), (8, PAIRS_PER_CHUNK), (20, 5)])
def test_a_killed_search_repeats_only_its_last_call(tmp_path: Path, die_at: int, chunk: int) -> None:
    uninterrupted, calls = (
        label_in_study(tmp_path / "uninterrupted", tmp_path / "calls", chunk=chunk),
        tmp_path / "calls of the killed run",
    )
    assert count_calls(tmp_path / "calls") > die_at
    assert run_until_killed("label_in_study", tmp_path / "run", calls, die_at, chunk) == -signal.SIGKILL
    assert count_calls(calls) == die_at
    resumed = label_in_study(tmp_path / "run", calls, chunk=chunk)
    assert count_calls(calls) == count_calls(tmp_path / "calls") + 1  # the call in which it was killed
    assert without_seconds(resumed) == without_seconds(uninterrupted)


def test_cached_responses_keep_their_seconds_so_that_regenerated_labels_have_the_same_bytes(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    before = label_in_study(tmp_path / "run", calls)
    num_calls, table = count_calls(calls), (before.folder / "annotations.parquet").read_bytes()
    shutil.rmtree(before.folder)
    regenerated = label_in_study(tmp_path / "run", calls)
    assert count_calls(calls) == num_calls
    assert all(row["seconds"] > 0 for row in regenerated.read_rows("annotations"))
    assert (regenerated.folder / "annotations.parquet").read_bytes() == table


# The trial of the annotator makes the first 14 calls. Its replies are not cached, and a trial that passed is not repeated.
@pytest.mark.parametrize(("die_at", "is_trial"), [(5, True), (14 + 5, False)])
def test_labeling_without_a_study_resumes_as_well(tmp_path: Path, die_at: int, is_trial: bool) -> None:
    uninterrupted, calls = (
        label_file(tmp_path / "uninterrupted", tmp_path / "calls"),
        tmp_path / "calls of the killed run",
    )
    assert run_until_killed("label_file", tmp_path / "killed", calls, die_at) == -signal.SIGKILL
    assert any((tmp_path / "killed" / "labels.jsonl.completions").glob("*.jsonl")) != is_trial
    assert label_file(tmp_path / "killed", calls) == uninterrupted
    assert count_calls(calls) == count_calls(tmp_path / "calls") + (die_at if is_trial else 1)
    assert {path.name for path in (tmp_path / "killed").iterdir()} == {"pairs.jsonl", "labels.jsonl"}


def test_an_arm_with_the_same_search_only_requests_its_labels(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    label_in_study(tmp_path / "run", calls, max_thought_tokens=32)
    before = count_calls(calls)
    without_thoughts = label_in_study(tmp_path / "run", calls, max_thought_tokens=32, include_thoughts=False)
    assert count_calls(calls) == before + 1
    assert all(
        row["calls"] > 1 for row in without_thoughts.read_rows("annotations")
    )  # cached responses keep their cost


def test_a_failed_response_is_retried(tmp_path: Path) -> None:
    replies = [Generation(text="", status="failed", note="busy"), Generation(text="well")]

    class Busy(ScriptedEngine):
        def generate(self, requests: Sequence[EngineRequest], **_: Any) -> list[Generation]:
            return [replies.pop(0) for _ in requests]

    engine = CachedEngine(engine=Busy(), cache_key="busy", folder=tmp_path / "cache")
    assert engine.generate(REQUESTS[:1], max_new_tokens=5)[0].note == "busy"
    assert [engine.generate(REQUESTS[:1], max_new_tokens=5)[0].text for _ in range(2)] == ["well", "well"]
    assert replies == []


def test_a_failed_response_does_not_affect_the_others(tmp_path: Path) -> None:
    fails = {REQUESTS[1]}

    class Picky(ScriptedEngine):
        def score_choices(self, requests: Sequence[EngineRequest], *args: Any, **options: Any) -> list[ChoiceScores]:
            results = ScriptedEngine.score_choices(self, requests, *args, **options)
            failed = ChoiceScores(probabilities=(), status="failed", note="refused")
            return [failed if request in fails else result for request, result in zip(requests, results, strict=True)]

    inner, candidates = Picky(), [("yes", "no")] * 2
    engine = CachedEngine(engine=inner, cache_key="picky", folder=tmp_path / "cache")
    assert [result.status for result in engine.score_choices(REQUESTS, candidates)] == ["ok", "failed"]
    assert [result.status for result in engine.score_choices(REQUESTS, candidates)] == ["ok", "failed"]
    fails.clear()
    assert [result.status for result in engine.score_choices(REQUESTS, candidates)] == ["ok", "ok"]
    assert inner.requests == [*REQUESTS, REQUESTS[1], REQUESTS[1]]


def test_a_cached_request_is_found_among_other_requests(tmp_path: Path) -> None:
    inner = ScriptedEngine(reply=lambda request: request.prompt[0].content)
    engine = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "cache")
    engine.generate(REQUESTS[:1], max_new_tokens=5)
    more = [EngineRequest(prompt=build_user_prompt("Why?")), *REQUESTS]
    assert [result.text for result in engine.generate(more, max_new_tokens=5)] == ["Why?", "Is it so?", "And this?"]
    assert inner.requests == [REQUESTS[0], more[0], more[2]]


def test_equal_requests_are_sent_once(tmp_path: Path) -> None:
    inner = ScriptedEngine(reply=lambda _: "well")
    engine = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "cache")
    assert [result.text for result in engine.generate(REQUESTS[:1] * 3, max_new_tokens=5)] == ["well"] * 3
    assert inner.requests == REQUESTS[:1]


@dataclass(frozen=True)
class FailingStream:
    """Yields one result at a time and raises an error at the index `fail_at`."""

    fail_at: int
    sent: list[int] = field(default_factory=list)

    def iter_generate(
        self, requests: Sequence[EngineRequest], *, skip: Container[int] = (), **options: Any
    ) -> Iterator[dict[int, Generation]]:
        del options
        for index, request in enumerate(requests):
            if index not in skip:
                self.sent.append(index)
                if index == self.fail_at:
                    raise EngineError("gone")
                yield {index: Generation(text=request.prompt[0].content)}

    def iter_score_choices(self, *_: Any, **__: Any) -> Iterator[dict[int, ChoiceScores]]:
        raise NotImplementedError

    def generate(self, requests: Sequence[EngineRequest], **options: Any) -> list[Generation]:
        raise NotImplementedError

    def score_choices(self, *_: Any, **__: Any) -> list[ChoiceScores]:
        raise NotImplementedError


def test_results_before_an_engine_error_are_cached(tmp_path: Path) -> None:
    many = [EngineRequest(prompt=build_user_prompt(f"Question {n}?")) for n in range(4)]
    first, second = FailingStream(fail_at=2), FailingStream(fail_at=9)
    with pytest.raises(EngineError, match="gone"):
        CachedEngine(engine=first, cache_key="one", folder=tmp_path / "cache").generate(many, max_new_tokens=5)
    results = CachedEngine(engine=second, cache_key="one", folder=tmp_path / "cache").generate(many, max_new_tokens=5)
    assert [result.text for result in results] == [f"Question {n}?" for n in range(4)]
    assert (first.sent, second.sent) == ([0, 1, 2], [2, 3])


def test_an_engine_that_does_not_stream_is_called_in_slices(tmp_path: Path) -> None:
    many = [EngineRequest(prompt=build_user_prompt(f"Question {n}?")) for n in range(5)]
    sizes: list[int] = []

    class CountingEngine(ScriptedEngine):
        def score_choices(self, requests: Sequence[EngineRequest], *args: Any, **options: Any) -> list[ChoiceScores]:
            sizes.append(len(requests))
            return ScriptedEngine.score_choices(self, requests, *args, **options)

    engine = CachedEngine(engine=CountingEngine(), cache_key="one", folder=tmp_path / "cache", requests_per_call=2)
    assert [result.probabilities for result in engine.score_choices(many, [("a", "b")] * 5)] == [(0.5, 0.5)] * 5
    assert sizes == [2, 2, 1]


def test_a_truncated_cache_line_is_recomputed_and_the_others_are_kept(tmp_path: Path) -> None:
    def sent_requests(requests: Sequence[EngineRequest]) -> list[EngineRequest]:
        inner = ScriptedEngine(reply=lambda request: request.prompt[0].content)
        results = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "cache").generate(
            requests, max_new_tokens=5
        )
        assert [result.text for result in results] == [request.prompt[0].content for request in requests]
        return inner.requests

    assert sent_requests(REQUESTS) == REQUESTS
    (file,) = (tmp_path / "cache").glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-9])
    assert sent_requests(REQUESTS) == REQUESTS[1:]
    assert sent_requests(REQUESTS) == []
    assert len(file.read_text().splitlines()) == 2


LINES_THAT_ARE_NO_ENTRY = (
    b"no JSON",
    b"\xff\xfe",
    b"[" * 100_000,
    b"[]",
    b'{"key": "x"}',
    b'{"key": "x", "value": {"text": 1}}',
    b"",
)


@pytest.mark.parametrize("damage", LINES_THAT_ARE_NO_ENTRY)
def test_an_unreadable_entry_is_requested_again_once_and_reported(tmp_path: Path, damage: bytes) -> None:
    def run() -> tuple[list[EngineRequest], list[str]]:
        inner, notices = ScriptedEngine(reply=lambda request: request.prompt[0].content), list[str]()
        engine = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "cache", notify=notices.append)
        results = engine.generate(REQUESTS, max_new_tokens=5)
        assert [result.text for result in results] == [request.prompt[0].content for request in REQUESTS]
        return inner.requests, notices

    assert run() == (REQUESTS, [])
    (file,) = (tmp_path / "cache").glob("*.jsonl")
    second = file.read_bytes().splitlines()[1]
    file.write_bytes(damage + b"\n" + second + b"\n")
    sent, notices = run()
    assert sent == REQUESTS[:1]
    assert notices == [f"{file}: skipped 1 unreadable line; missing results are requested again"]
    assert run()[0] == []


@pytest.mark.parametrize(
    "change",
    [
        (b"Is it so?", b"It is so."),
        (b'"status": "ok"', b'"status": "failed"'),
        (b'"calls": 1', b'"calls": -1'),
        (b'"finish_reason": "end"', b'"finish_reason": null'),
    ],
)
def test_an_altered_entry_is_not_used(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    def count_requests() -> int:
        inner = ScriptedEngine(reply=lambda request: request.prompt[0].content)
        engine = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "cache")
        assert engine.generate(REQUESTS[:1], max_new_tokens=5)[0].text == "Is it so?"
        return len(inner.requests)

    assert count_requests() == 1
    (file,) = (tmp_path / "cache").glob("*.jsonl")
    assert change[0] in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(*change))
    assert [count_requests(), count_requests()] == [1, 0]


def test_completions_of_another_engine_are_not_used(tmp_path: Path) -> None:
    """Two files of completions are swapped: their requests are the same, so their keys are, too."""

    def generate(name: str) -> str:
        engine = CachedEngine(
            engine=ScriptedEngine(reply=lambda _: name), cache_key=name, folder=tmp_path, notify=notices.append
        )
        return engine.generate(REQUESTS[:1], max_new_tokens=5)[0].text

    notices: list[str] = []
    assert [generate("one"), generate("two")] == ["one", "two"]
    one, two = sorted(tmp_path.glob("*.jsonl"))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert [generate("one"), generate("two")] == ["one", "two"]
    assert [notice.partition("skipped")[2] for notice in notices] == [
        " 1 unreadable line; missing results are requested again"
    ] * 2


@pytest.mark.parametrize(
    "result",
    [
        Generation(text="\ud800"),
        Generation(text="well", note="\udfff"),
        Generation(text=None),  # type: ignore[arg-type]
        Generation(text="well", cost=Cost(prompt_tokens=10**400)),
        Generation(text="well", cost=Cost(seconds=math.inf)),
    ],
)
def test_a_result_that_could_not_be_read_again_fails_and_is_not_cached(tmp_path: Path, result: Generation) -> None:
    class Broken(ScriptedEngine):
        def generate(self, requests: Sequence[EngineRequest], **_: Any) -> list[Generation]:
            return [result, Generation(text="well")]

    engine = CachedEngine(engine=Broken(), cache_key="one", folder=tmp_path / "cache")
    first, second = engine.generate(REQUESTS, max_new_tokens=5)
    assert (first.status, first.text, second.text) == ("failed", "", "well")
    assert first.note
    (file,) = (tmp_path / "cache").glob("*.jsonl")
    assert len(file.read_text().splitlines()) == 1


@pytest.mark.parametrize("probabilities", [(), (math.nan, 1.0), (math.inf, 0.0), (-0.1, 1.1), ("1", 0.0), (True, 0.0)])
def test_impossible_probabilities_fail_and_are_not_cached(tmp_path: Path, probabilities: tuple[Any, ...]) -> None:
    class Broken(ScriptedEngine):
        def score_choices(self, requests: Sequence[EngineRequest], *_: Any, **__: Any) -> list[ChoiceScores]:
            return [ChoiceScores(probabilities=probabilities) for _ in requests]

    engine = CachedEngine(engine=Broken(), cache_key="one", folder=tmp_path / "cache")
    (scores,) = engine.score_choices(REQUESTS[:1], [("a", "b")])
    assert (scores.status, scores.probabilities) == ("failed", ())
    assert not (tmp_path / "cache").exists()


def test_another_model_another_request_and_other_options_are_not_cached(tmp_path: Path) -> None:
    inner, folder = ScriptedEngine(reply=lambda _: "so it is"), tmp_path / "cache"
    engine = CachedEngine(engine=inner, cache_key="one", folder=folder)
    for _ in range(2):
        engine.generate(REQUESTS[:1], max_new_tokens=5)
        engine.generate(REQUESTS[:1], max_new_tokens=2)
        engine.generate(REQUESTS[1:], max_new_tokens=5)
        engine.score_choices(REQUESTS[:1], [("yes", "no")])
        engine.score_choices(REQUESTS[:1], [("yes", "no")], include_end_of_turn=True)
        CachedEngine(engine=inner, cache_key="other", folder=folder).generate(REQUESTS[:1], max_new_tokens=5)
    assert len(inner.requests) == 6


def test_a_cached_result_equals_the_computed_one(tmp_path: Path) -> None:
    inner = ScriptedEngine(reply=lambda _: "so\nit is", choice_weights=lambda _, candidates: [1.0, 0.0, 2.0])
    engine = CachedEngine(engine=inner, cache_key="one", folder=tmp_path / "cache")
    expected = inner.generate(REQUESTS, max_new_tokens=5), inner.score_choices(REQUESTS, [("a", "b", "c")] * 2)
    for _ in range(2):
        assert engine.generate(REQUESTS, max_new_tokens=5) == expected[0]
        assert engine.score_choices(REQUESTS, [("a", "b", "c")] * 2) == expected[1]  # minus infinity included


if __name__ == "__main__":
    function = label_file if sys.argv[1] == "label_file" else label_in_study
    function(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
