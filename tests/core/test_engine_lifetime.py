"""Engines that can be closed are closed by whoever started them, also after an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trimtab.annotators.prompted import Prompted
from trimtab.core.component import Component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, EngineError
from trimtab.pipeline.engine_resources import EngineResources
from trimtab.pipeline.response_sampling import PairSampling
from trimtab.pipeline.trial_prompts import Trials
from trimtab.storage.artifacts import Draft
from trimtab.types import ChoiceScores, EngineRequest, Generation, build_user_prompt
from trimtab.workflows.annotate_pairs import annotate_pairs
from trimtab.workflows.in_memory_source import InMemoryPairs
from trimtab.workflows.model_references import ModelResolver
from trimtab.workflows.response_sampling import SamplingRequest, build_sampled_pairs

open_names: list[str] = []
# How many engines were open after each start.
num_open: list[int] = []


@dataclass(frozen=True)
class ProcessEngine:
    """An engine that is in `open_names` until it is closed. It replies with its name, and scores nothing."""

    name: str

    def generate(self, requests: Sequence[EngineRequest], **options: Any) -> list[Generation]:
        return [Generation(text=self.name) for _ in requests]

    def score_choices(self, requests: Sequence[EngineRequest], *_: Any, **options: Any) -> list[ChoiceScores]:
        return [ChoiceScores(probabilities=(), status="failed", note="no scores") for _ in requests]

    def close(self) -> None:
        open_names.remove(self.name)


class OpenedEngine(Component):
    """`broken` names no engine: it cannot be started."""

    name: str

    def start(self, runtime: Runtime) -> Engine:
        if self.name == "broken":
            raise EngineError("no memory")
        num_open.append(len(open_names) + 1)
        open_names.append(self.name)
        return ProcessEngine(self.name)

    def content_hash(self) -> str:
        return self.name


@pytest.fixture(autouse=True)
def _no_open_engine() -> None:
    open_names.clear()
    num_open.clear()


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    return Draft(folder=tmp_path / "stages" / "x")


def test_the_engines_of_a_stage_are_closed_at_its_end(draft: Draft, runtime: Runtime) -> None:
    shared = OpenedEngine(name="a")
    engines = EngineResources(configs={"one": shared, "two": shared, "three": OpenedEngine(name="b")})
    with engines.open_engines(draft, {}, runtime):
        assert open_names == ["a", "b"]
    assert open_names == []


def test_the_engines_of_a_stage_are_closed_if_it_fails_or_another_engine_does_not_start(
    draft: Draft, runtime: Runtime
) -> None:
    engines = EngineResources(configs={"one": OpenedEngine(name="a")})
    with pytest.raises(ValueError, match="stage"), engines.open_engines(draft, {}, runtime):
        raise ValueError("stage")
    broken = EngineResources(configs={"one": OpenedEngine(name="a"), "two": OpenedEngine(name="broken")})
    with pytest.raises(EngineError, match="no memory"), broken.open_engines(draft, {}, runtime):
        pass
    assert open_names == []


def test_trials_close_the_engine_that_the_next_component_does_not_use(tmp_path: Path, runtime: Runtime) -> None:
    trials = Trials(tmp_path, runtime)
    for name in ("a", "b"):
        with pytest.raises(DataError, match="failed on both"):
            trials.try_component("arms.x.annotator", Prompted(weak=OpenedEngine(name=name)))
        assert [name] == open_names
    trials.close()
    assert (open_names, num_open) == ([], [1, 1])


def test_annotate_closes_its_engine_after_an_error(tmp_path: Path, runtime: Runtime) -> None:
    with pytest.raises(DataError, match="failed on both"):
        annotate_pairs(Prompted(weak=OpenedEngine(name="a")), InMemoryPairs(pairs=()), runtime, tmp_path)
    assert open_names == []


def test_sample_closes_each_model_before_the_next_one_starts(tmp_path: Path, runtime: Runtime) -> None:
    sampling = PairSampling(num_responses=1, temperature=0.0, max_new_tokens=4, rule="random")
    request = SamplingRequest(engines={name: OpenedEngine(name=name) for name in ("a", "b")}, sampling=sampling)
    pairs = build_sampled_pairs([build_user_prompt("Hello")], request, ModelResolver(None), tmp_path, runtime)
    assert [{pair.first.model, pair.second.model} for pair in pairs.pairs] == [{"a", "b"}]
    assert (open_names, num_open) == ([], [1, 1])
