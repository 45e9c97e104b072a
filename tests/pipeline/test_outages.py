"""A server that goes down costs nothing but time: what failed is asked again, what was answered is not."""

from __future__ import annotations

import json
import shutil
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
from trimtab.pipeline.completion_cache import PAIRS_PER_CHUNK
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.executor import execute_stages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.annotate import AnnotatorDependencies, annotate_stage
from trimtab.pipeline.stages.split import split_stage
from trimtab.sources.file import File
from trimtab.storage.artifacts import Artifact, Store
from trimtab.types import ChoiceScores, EngineRequest
from trimtab.workflows.annotate_file import annotate_file

PAIRS = 30
BUSY = ChoiceScores(probabilities=(), status="failed", note="503: busy")


@dataclass
class Server:
    """`fails` are the pairs about which it answers nothing, `gone_after` how many answers it gives before it goes down."""

    fails: set[int] = field(default_factory=set)
    gone_after: int | None = None
    tried: list[int] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)

    def weigh(self, question: EngineRequest, among: Sequence[str], **how: Any) -> ChoiceScores:
        pair = next(n for n in range(PAIRS) if f"What of {n}?" in question.prompt[0].content)
        self.tried.append(pair)
        if pair in self.fails:
            return BUSY
        self.answered.append(pair)
        return ScriptedEngine(choice_weights=lambda *_: [2.0 + pair, 1.0]).score_choices([question], [among], **how)[0]


SERVERS: dict[str, Server] = {}


class FlakyEngine(ScriptedEngine):
    """Asks a server."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        object.__setattr__(self, "server", server)

    def score_choices(
        self,
        questions: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        server: Server = self.server  # type: ignore[attr-defined]
        if server.gone_after is not None and len(server.answered) >= server.gone_after:
            raise EngineError("no server answers at 127.0.0.1:8000")
        return [
            server.weigh(question, among, first_token=first_token_only, ended=include_end_of_turn)
            for question, among in zip(questions, candidates, strict=True)
        ]


class Flaky(Component):
    """An engine by the name of a server in this process."""

    server: str

    def start(self, runtime: Runtime) -> FlakyEngine:
        del runtime
        return FlakyEngine(SERVERS[self.server])

    def content_hash(self) -> str:
        return self.server


@pytest.fixture
def server() -> Iterator[Server]:
    SERVERS["here"] = Server()
    yield SERVERS["here"]
    SERVERS.clear()


@contextmanager
def quiet(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    del label, total, unit
    yield lambda done=1: None


def runtime(told: list[str]) -> Runtime:
    return Runtime(progress=quiet, notify=told.append)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"What of {n}?", "response_a": f"one {n}", "response_b": f"two {n}", "label": "a"}
        for n in range(PAIRS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def planned(pairs: Path, chunk: int = PAIRS_PER_CHUNK) -> tuple[Stage, Stage]:
    """The split and the labels of its unlabeled side: one order each, so a question a pair."""
    split = split_stage({"all": File(path=str(pairs))}, SplitSettings(labeled=0.1, test=0.1), 512, {})
    engine = {"kind": "test_outages:Flaky", "server": "here"}
    annotator = build_component("annotators", {"kind": "prompted", "orders": "one", "weak": engine})
    return split, annotate_stage("annotate.asked", annotator, split, AnnotatorDependencies(), chunk_size=chunk)


def in_a_stage(pairs: Path, told: list[str] | None = None, chunk: int = PAIRS_PER_CHUNK) -> Artifact:
    """The labels in a run's folder beside the pairs."""
    split, labels = planned(pairs, chunk)
    store, here = Store(pairs.parent / "run"), runtime([] if told is None else told)
    found = store.get_or_create("split", split.recipe, lambda draft: split.execute(draft, {}, here))
    return store.get_or_create(labels.name, labels.recipe, lambda draft: labels.execute(draft, {"split": found}, here))


def in_a_file(pairs: Path, to: Path) -> str:
    engine = json.dumps({"kind": "test_outages:Flaky", "server": "here"})
    return annotate_file(pairs, "prompted", [f"weak={engine}", "orders=one"], None, to, runtime([]))


def statuses(to: Path) -> list[str]:
    return [json.loads(line)["status"] for line in to.read_text().splitlines()]


def test_a_stage_whose_labels_failed_is_made_by_the_same_command_once_the_server_is_up(
    server: Server, pairs: Path
) -> None:
    server.fails = set(range(PAIRS))
    with pytest.raises(
        DataError, match=r"24 of 24 labels failed \(at most 20% of all may\), most often with “.*503: busy”"
    ):
        in_a_stage(pairs)
    server.fails = set()
    made = in_a_stage(pairs)
    assert {row["status"] for row in made.read_rows("annotations")} == {"ok"}
    assert sorted(server.answered) == sorted(set(server.answered))
    assert len(server.answered) == len(made.read_rows("annotations")) == 24


def test_what_was_answered_beside_what_failed_is_not_asked_again(server: Server, pairs: Path) -> None:
    server.fails = set(range(0, PAIRS, 2))
    with pytest.raises(DataError, match="labels failed"):
        in_a_stage(pairs)
    server.fails = set()
    in_a_stage(pairs)
    assert len(server.answered) == len(set(server.answered)) == 24


def test_a_stage_with_few_failed_labels_is_finished_and_says_how_these_are_asked_again(
    server: Server, pairs: Path
) -> None:
    in_a_stage(pairs)
    first = server.answered[0]
    shutil.rmtree(pairs.parent / "run")
    server.fails, told = {first}, list[str]()
    made = in_a_stage(pairs, told)
    assert told == [
        f"annotate.asked: 1 of 24 labels failed; to have these asked again, delete {made.folder} and give the same command "
        "again, which then also makes anew what was made from these labels"
    ]
    server.fails, server.tried = set(), []
    shutil.rmtree(made.folder)
    assert {row["status"] for row in in_a_stage(pairs, told).read_rows("annotations")} == {"ok"}
    assert (server.tried, len(told)) == ([first], 1)


def test_with_labels_that_are_asked_for_again_all_that_was_made_from_them_is_made_anew(
    server: Server, pairs: Path
) -> None:
    split, labels = planned(pairs)
    copied: list[str] = []

    def stage(name: str, kind: str, need: Stage) -> Stage:
        def copy(*_: Any) -> dict[str, Any]:
            copied.append(name)
            return {}

        return Stage(name=name, kind=kind, execute=copy, input_stages={"labels": need})

    kept = stage("filter.asked", "filter", labels)
    stages = [split, labels, kept, stage("dpo.asked", "dpo", kept), stage("filter.beside", "other", split)]

    told: list[str] = []

    def made() -> list[str]:
        copied.clear()
        artifacts: dict[str, Artifact] = {}
        told.clear()
        execute_stages(stages, Store(pairs.parent / "run"), runtime(told), artifacts, lambda *_: None)
        assert [artifacts[each.recipe.fingerprint].record.get("again") is None for each in stages[2:]] == again
        return sorted(copied)

    again = [True, True, True]
    assert made() == ["dpo.asked", "filter.asked", "filter.beside"]
    assert made() == []
    shutil.rmtree(Store(pairs.parent / "run").folder(labels.name, labels.recipe))
    again = [False, False, True]
    assert made() == ["dpo.asked", "filter.asked"]
    assert [each.split(" ")[0] for each in told if "made anew" in each] == ["filter.asked", "dpo.asked"]
    assert made() == []


def test_a_student_that_was_trained_anew_is_not_answered_for_by_the_one_before() -> None:
    student = Stage(name="preference.half", kind="preference", execute=lambda *_: {})
    engines = EngineResources(configs={"weak": Transformers(model="@half.preference")}, study_models={"weak": student})
    ways = [
        engines.cache_key("weak", {"engine.weak": Artifact(folder=Path("x"), record=record)})
        for record in ({}, {"again": "2026-01-01"}, {"again": "2026-01-02"})
    ]
    assert ways[0] == student.recipe.fingerprint
    assert len(set(ways)) == 3


def test_a_stage_stops_where_all_that_was_tried_first_failed(server: Server, pairs: Path) -> None:
    server.fails = set(range(PAIRS))
    with pytest.raises(DataError, match=r"4 of 4 labels failed .*, and the other 20 pairs were not tried"):
        in_a_stage(pairs, chunk=4)
    assert len(server.tried) == 4


def test_a_stage_stops_as_soon_as_more_than_a_fifth_of_all_pairs_failed(server: Server, pairs: Path) -> None:
    in_a_stage(pairs)
    order = list(server.answered)
    shutil.rmtree(pairs.parent / "run")
    # three in each four fail: after two chunks 6 of 24 did, which is more than 4.8
    server.fails, server.tried = {pair for place, pair in enumerate(order) if place % 4}, []
    with pytest.raises(DataError, match=r"6 of 8 labels failed .*, and the other 16 pairs were not tried"):
        in_a_stage(pairs, chunk=4)
    assert len(server.tried) == 8


def test_a_server_that_goes_down_half_way_loses_no_answer_and_says_that_the_command_goes_on(
    server: Server, pairs: Path
) -> None:
    server.gone_after = 8
    kept = pairs.parent / "run" / "asked"
    with pytest.raises(EngineError) as raised:
        in_a_stage(pairs, chunk=4)
    assert str(raised.value) == (
        "no server answers at 127.0.0.1:8000; 8 of 24 pairs were labeled, and what was answered until then is kept in "
        f"{kept}: the same command goes on from there"
    )
    server.gone_after = None
    made = in_a_stage(pairs, chunk=4)
    assert {row["status"] for row in made.read_rows("annotations")} == {"ok"}
    assert len(server.answered) == len(set(server.answered)) == 24


def test_a_file_of_labels_says_so_as_well(server: Server, pairs: Path, tmp_path: Path) -> None:
    server.gone_after = 0
    to = tmp_path / "labels.jsonl"
    with pytest.raises(
        EngineError, match=r"0 of 30 pairs were labeled, .* kept in .*labels\.jsonl\.asked: the same command"
    ):
        in_a_file(pairs, to)
    assert not to.exists()
    server.gone_after = None
    in_a_file(pairs, to)
    assert statuses(to) == ["ok"] * PAIRS


def test_answers_stay_beside_a_file_of_labels_until_none_is_missing(
    server: Server, pairs: Path, tmp_path: Path
) -> None:
    to, kept = tmp_path / "labels.jsonl", tmp_path / "labels.jsonl.asked"
    server.fails = {3, 17}
    told = in_a_file(pairs, to)
    assert told.splitlines()[0] == "30 pairs: 28 labeled, 0 abstained, 2 failed"
    assert told.splitlines()[-1] == (
        f"the same command asks again for those that failed; the other answers are kept in {kept}"
    )
    server.fails, server.tried = set(), []
    assert in_a_file(pairs, to).startswith("30 pairs: 30 labeled")
    assert sorted(server.tried) == [3, 17]
    assert not kept.exists()
