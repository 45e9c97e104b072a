"""The bench's plain contender gives the engine's own answers, so that what is compared is the way and not the work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.asking import PlainEngine
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import TransformersEngine
from trimtab.models.checkpoint import load_base_model
from trimtab.models.config import Model
from trimtab.types import EngineRequest, build_user_prompt

RULES = "Read the two responses with care and say which of them is the better one. " * 3
QUESTIONS = [
    EngineRequest(prompt=build_user_prompt(f"{RULES} Pair {number}: {'x' * number}"), prefill="Response ")
    for number in range(1, 7)
]


@pytest.fixture
def engines(tiny_model: Path, runtime: Runtime) -> Iterator[tuple[TransformersEngine, TransformersEngine]]:
    ours = TransformersEngine(
        load_base_model(Model(base=str(tiny_model), dtype="float32"), runtime.notify, "cpu"), 1024
    )
    yield ours, PlainEngine(ours.loaded_model, 1024)


@pytest.mark.parametrize("how", [{}, {"ended": True}, {"first_token": True}])
def test_candidates_weigh_the_same(
    engines: tuple[TransformersEngine, TransformersEngine], how: dict[str, bool]
) -> None:
    ours, plain = (each.score_choices(QUESTIONS, [["1", "2", "33"]] * 6, **how) for each in engines)
    for one, other in zip(ours, plain, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.tokens == other.tokens


def test_the_same_is_written(engines: tuple[TransformersEngine, TransformersEngine]) -> None:
    ours, plain = (each.generate(QUESTIONS, max_new_tokens=12, stop=["#"]) for each in engines)
    assert [each.text for each in ours] == [each.text for each in plain]


def test_the_plain_way_reads_every_question_whole_for_each_candidate(
    engines: tuple[TransformersEngine, TransformersEngine],
) -> None:
    ours, plain = (each.score_choices(QUESTIONS, [["1", "2"]] * 6) for each in engines)
    whole = [each.cost.prompt_tokens + each.cost.cached_tokens for each in ours]
    assert [each.cost.prompt_tokens for each in plain] == [2 * (tokens + 1) for tokens in whole]
