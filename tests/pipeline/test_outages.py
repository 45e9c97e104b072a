"""Server outages: failed requests are repeated later, and successful ones are not."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trimtab.core.component import Component, build_component
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.data.split import SplitSettings
from trimtab.engines.scripted import ScriptedEngine
from trimtab.engines.transformers import Transformers
from trimtab.errors import DataError, EngineError
from trimtab.pipeline.annotator_dependencies import AnnotatorDependencies
from trimtab.pipeline.completion_cache import PAIRS_PER_CHUNK
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stage_cache import StageCache
from trimtab.pipeline.stage_scheduler import StageScheduler, execute_stages
from trimtab.pipeline.stages.annotate import annotate_stage
from trimtab.pipeline.stages.split import split_stage
from trimtab.pipeline.trial_prompts import TRIALS_FILE
from trimtab.sources.file import File
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.stage_locks import StageLocks
from trimtab.types import ChoiceScores, EngineRequest
from trimtab.workflows.annotate_file import annotate_file

PAIRS = 30
BUSY = ChoiceScores(probabilities=(), status="failed", note="503: busy")


@dataclass
class Server:
    """Fails requests about the pairs in `failing`, and goes down after `max_answers` answers, those of trials included."""

    failing: set[int] = field(default_factory=set)
    max_answers: int | None = None
    requested: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    trials: list[str] = field(default_factory=list)

    @property
    def is_down(self) -> bool:
        return self.max_answers is not None and len(self.answered) + len(self.trials) >= self.max_answers

    def score(self, request: EngineRequest, candidates: Sequence[str], **options: Any) -> ChoiceScores:
        text = request.prompt[0].content
        pair = next((n for n in range(PAIRS) if f"What of {n}?" in text), None)
        if pair is None:
            self.trials.append(text)
        else:
            self.requested.append(pair)
            if pair in self.failing:
                return BUSY
            self.answered.append(pair)
        engine = ScriptedEngine(choice_weights=lambda *_: [2.0 + (pair or 0), 1.0])
        return engine.score_choices([request], [candidates], **options)[0]


SERVERS: dict[str, Server] = {}


class FlakyEngine(ScriptedEngine):
    """Sends requests to a `Server`."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        object.__setattr__(self, "server", server)

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        server: Server = self.server  # type: ignore[attr-defined]
        if server.is_down:
            raise EngineError("no server answers at 127.0.0.1:8000")
        return [
            server.score(request, choices, first_token_only=first_token_only, include_end_of_turn=include_end_of_turn)
            for request, choices in zip(requests, candidates, strict=True)
        ]


class Flaky(Component):
    """An engine with the name of a server in this process."""

    server: str

    def start(self, runtime: Runtime) -> FlakyEngine:
        del runtime
        return FlakyEngine(SERVERS[self.server])

    def content_hash(self) -> str:
        return self.server


ENGINE = {"kind": f"{__name__}:Flaky", "server": "here"}


@pytest.fixture
def server() -> Iterator[Server]:
    SERVERS["here"] = Server()
    yield SERVERS["here"]
    SERVERS.clear()


@contextmanager
def silent_progress(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


def build_runtime(notices: list[str]) -> Runtime:
    return Runtime(progress=silent_progress, notify=notices.append)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"What of {n}?", "response_a": f"one {n}", "response_b": f"two {n}", "label": "a"}
        for n in range(PAIRS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def build_stages(pairs: Path, chunk_size: int = PAIRS_PER_CHUNK) -> tuple[Stage, Stage]:
    """The split and the labels of its unlabeled pairs, each in one order, so with one request per pair."""
    split = split_stage({"all": File(path=str(pairs))}, SplitSettings(labeled=0.1, test=0.1), 512, {})
    annotator = build_component("annotators", {"kind": "prompted", "presentation_order": "random", "weak": ENGINE})
    return split, annotate_stage("annotate.asked", annotator, split, AnnotatorDependencies(), chunk_size=chunk_size)


def label_in_stage(pairs: Path, notices: list[str] | None = None, chunk_size: int = PAIRS_PER_CHUNK) -> Artifact:
    """The labels in a run folder next to the pairs."""
    split, labels = build_stages(pairs, chunk_size)
    store, runtime = Store(pairs.parent / "run"), build_runtime([] if notices is None else notices)
    data = store.get_or_create("split", split.recipe, lambda draft: split.execute(draft, {}, runtime))
    return store.get_or_create(
        labels.name, labels.recipe, lambda draft: labels.execute(draft, {"split": data}, runtime)
    )


def label_in_file(pairs: Path, output: Path) -> str:
    settings = [f"weak={json.dumps(ENGINE)}", "presentation_order=random"]
    return annotate_file(pairs, "prompted", settings, None, output, build_runtime([]))


def read_statuses(output: Path) -> list[str]:
    return [json.loads(line)["trimtab_status"] for line in output.read_text().splitlines()]


def test_a_stage_whose_labels_failed_succeeds_with_the_same_command_once_the_server_is_up(
    server: Server, pairs: Path
) -> None:
    server.failing = set(range(PAIRS))
    with pytest.raises(DataError, match=r"24 of 24 labels failed \(at most 20% may\), most often with “.*503: busy”"):
        label_in_stage(pairs)
    server.failing = set()
    artifact = label_in_stage(pairs)
    assert {row["status"] for row in artifact.read_rows("annotations")} == {"ok"}
    assert sorted(server.answered) == sorted(set(server.answered))
    assert len(server.answered) == len(artifact.read_rows("annotations")) == 24


def test_successful_requests_are_not_repeated_with_failed_ones(server: Server, pairs: Path) -> None:
    server.failing = set(range(0, PAIRS, 2))
    with pytest.raises(DataError, match="labels failed"):
        label_in_stage(pairs)
    server.failing = set()
    label_in_stage(pairs)
    assert len(server.answered) == len(set(server.answered)) == 24


def test_a_stage_with_few_failed_labels_finishes_and_says_how_to_retry_them(server: Server, pairs: Path) -> None:
    label_in_stage(pairs)
    first = server.answered[0]
    shutil.rmtree(pairs.parent / "run")
    server.failing, notices = {first}, list[str]()
    artifact = label_in_stage(pairs, notices)
    assert notices == [
        f"annotate.asked: 1 of 24 labels failed. To retry them, delete {artifact.folder} and run the same command again; "
        "everything made from these labels is then regenerated as well"
    ]
    server.failing, server.requested = set(), []
    shutil.rmtree(artifact.folder)
    assert {row["status"] for row in label_in_stage(pairs, notices).read_rows("annotations")} == {"ok"}
    assert (server.requested, len(notices)) == ([first], 1)


@dataclass
class MeetingServer(Server):
    """Holds the first request of a thread until two threads have sent one."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))
    threads: set[int] = field(default_factory=set)

    def score(self, request: EngineRequest, candidates: Sequence[str], **options: Any) -> ChoiceScores:
        if threading.get_ident() not in self.threads:
            self.threads.add(threading.get_ident())
            self.barrier.wait(60)
        return super().score(request, candidates, **options)


def test_two_workers_label_the_pairs_of_one_stage_and_send_each_request_once(server: Server, pairs: Path) -> None:
    alone = label_in_stage(pairs).read_rows("annotations")
    shutil.rmtree(pairs.parent / "run")
    server = SERVERS["here"] = MeetingServer()
    (pairs.parent / "run" / "stages").mkdir(parents=True)
    artifacts: list[dict[str, Artifact]] = [{}, {}]
    stages = build_stages(pairs, chunk_size=4)

    def work(own: dict[str, Artifact]) -> None:
        store = Store(pairs.parent / "run")
        source = StageCache(store, None, own, build_runtime([]))
        StageScheduler(source=source, on_stage_start=lambda *_: None, locks=StageLocks(store.root)).execute(stages)

    threads = [threading.Thread(target=work, args=(own,)) for own in artifacts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.threads) == 2
    assert len(server.answered) == len(set(server.answered)) == 24
    for own in artifacts:
        assert own[stages[1].fingerprint].read_rows("annotations") == alone


def test_regenerated_labels_regenerate_everything_made_from_them(server: Server, pairs: Path) -> None:
    split, labels = build_stages(pairs)
    executed: list[str] = []

    def build_stage(name: str, kind: str, input_stage: Stage) -> Stage:
        def execute(*_: Any) -> dict[str, Any]:
            executed.append(name)
            return {}

        return Stage(name=name, kind=kind, execute=execute, input_stages={"labels": input_stage})

    filtered = build_stage("filter.asked", "filter", labels)
    unrelated = build_stage("filter.unrelated", "other", split)
    stages = [split, labels, filtered, build_stage("dpo.asked", "dpo", filtered), unrelated]
    notices: list[str] = []

    def run_stages(first_time: Sequence[bool]) -> list[str]:
        """Runs all stages. `first_time` says of each stage after the labels whether it was never regenerated."""
        executed.clear()
        notices.clear()
        artifacts: dict[str, Artifact] = {}
        execute_stages(stages, Store(pairs.parent / "run"), build_runtime(notices), artifacts, lambda *_: None)
        records = [artifacts[stage.recipe.fingerprint].record for stage in stages[2:]]
        assert [record.get("regenerated_at") is None for record in records] == list(first_time)
        return sorted(executed)

    assert run_stages([True, True, True]) == ["dpo.asked", "filter.asked", "filter.unrelated"]
    assert run_stages([True, True, True]) == []
    shutil.rmtree(Store(pairs.parent / "run").folder(labels.name, labels.recipe))
    assert run_stages([False, False, True]) == ["dpo.asked", "filter.asked"]
    assert [notice.split(" ")[0] for notice in notices if "regenerating" in notice] == ["filter.asked", "dpo.asked"]
    assert run_stages([False, False, True]) == []


def test_completions_of_a_retrained_student_are_not_those_of_the_student_before() -> None:
    student = Stage(name="preference-model.half", kind="preference_model", execute=lambda *_: {})
    engines = EngineResources(
        configs={"weak": Transformers(model="@half.preference_model")}, study_models={"weak": student}
    )
    keys = [
        engines.cache_key("weak", {"engine.weak": Artifact(folder=Path("x"), record=record)})
        for record in ({}, {"regenerated_at": "2026-01-01"}, {"regenerated_at": "2026-01-02"})
    ]
    assert keys[0] == student.recipe.fingerprint
    assert len(set(keys)) == 3


def test_a_stage_stops_if_all_of_the_first_chunk_failed(server: Server, pairs: Path) -> None:
    server.failing = set(range(PAIRS))
    with pytest.raises(DataError, match=r"4 of 4 labels failed .*; the other 20 pairs were not attempted"):
        label_in_stage(pairs, chunk_size=4)
    assert len(server.requested) == 4


def test_a_stage_stops_as_soon_as_more_than_a_fifth_of_all_pairs_failed(server: Server, pairs: Path) -> None:
    label_in_stage(pairs)
    order = list(server.answered)
    shutil.rmtree(pairs.parent / "run")
    # Three in four fail: after two chunks 6 of 24 have failed, which is more than 4.8.
    server.failing, server.requested = {pair for index, pair in enumerate(order) if index % 4}, []
    with pytest.raises(DataError, match=r"6 of 8 labels failed .*; the other 16 pairs were not attempted"):
        label_in_stage(pairs, chunk_size=4)
    assert len(server.requested) == 8


def test_a_server_that_goes_down_midway_loses_no_response(server: Server, pairs: Path) -> None:
    server.max_answers = 8
    cache = pairs.parent / "run" / "completions"
    with pytest.raises(EngineError) as raised:
        label_in_stage(pairs, chunk_size=4)
    assert str(raised.value) == (
        "no server answers at 127.0.0.1:8000; 8 of 24 pairs were labeled, and all responses so far are cached in "
        f"{cache}: run the same command again to resume"
    )
    server.max_answers = None
    artifact = label_in_stage(pairs, chunk_size=4)
    assert {row["status"] for row in artifact.read_rows("annotations")} == {"ok"}
    assert len(server.answered) == len(set(server.answered)) == 24


def test_a_server_that_is_down_is_found_by_the_trial_before_any_pair_is_sent(
    server: Server, pairs: Path, tmp_path: Path
) -> None:
    server.max_answers = 0
    output = tmp_path / "labels.jsonl"
    message = "^annotator prompted: a trial prompt failed: no server answers at 127.0.0.1:8000$"
    with pytest.raises(EngineError, match=message):
        label_in_file(pairs, output)
    assert (server.requested, output.exists()) == ([], False)
    server.max_answers = None
    label_in_file(pairs, output)
    assert read_statuses(output) == ["ok"] * PAIRS


def test_annotating_a_file_resumes_after_an_outage(server: Server, pairs: Path, tmp_path: Path) -> None:
    server.max_answers = 1
    output = tmp_path / "labels.jsonl"
    with pytest.raises(
        EngineError,
        match=r"0 of 30 pairs were labeled, .* cached in .*labels\.jsonl\.completions: run the same command",
    ):
        label_in_file(pairs, output)
    assert not output.exists()
    server.max_answers = None
    label_in_file(pairs, output)
    assert read_statuses(output) == ["ok"] * PAIRS
    # the trial of the first command, which is recorded
    assert len(server.trials) == 1


def test_a_trial_is_no_label_and_its_reply_is_not_cached(server: Server, pairs: Path, tmp_path: Path) -> None:
    output, cache = tmp_path / "labels.jsonl", tmp_path / "labels.jsonl.completions"
    server.failing = {3, 17}
    assert label_in_file(pairs, output).startswith("30 pairs: 28 labeled, 0 abstained, 2 failed")
    assert len(server.trials) == 1
    assert "What is the capital of France?" in server.trials[0]
    assert len(server.requested) == len(read_statuses(output)) == PAIRS
    completions, trials = sorted(cache.glob("*.jsonl"), key=lambda path: path.name == TRIALS_FILE)
    assert len(completions.read_text().splitlines()) == 28
    (line,) = trials.read_text().splitlines()
    trial = json.loads(line)["value"]
    assert (trial["setting"], trial["cost"]["calls"]) == ("annotator prompted", 1)


def test_completions_stay_next_to_a_label_file_until_no_label_is_missing(
    server: Server, pairs: Path, tmp_path: Path
) -> None:
    output, cache = tmp_path / "labels.jsonl", tmp_path / "labels.jsonl.completions"
    server.failing = {3, 17}
    summary = label_in_file(pairs, output).splitlines()
    assert summary[0] == "30 pairs: 28 labeled, 0 abstained, 2 failed"
    assert summary[-1] == (f"run the same command to retry failed labels; the other completions are cached in {cache}")
    server.failing, server.requested, server.trials = set(), [], []
    assert label_in_file(pairs, output).startswith("30 pairs: 30 labeled")
    assert (sorted(server.requested), server.trials) == ([3, 17], [])
    assert not cache.exists()
