"""The benchmark's plain engine gives the same results, so that the benchmark compares speed for the same work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.seam_labels import PlainEngine
from trimtab.core.runtime import Runtime
from trimtab.engines.transformers import TransformersEngine
from trimtab.models.config import Model
from trimtab.models.references import ModelRef
from trimtab.types import EngineRequest, build_user_prompt

RULES = "Read the two responses with care and say which of them is the better one. " * 3
REQUESTS = [
    EngineRequest(prompt=build_user_prompt(f"{RULES} Pair {number}: {'x' * number}"), prefill="Response ")
    for number in range(1, 7)
]


@pytest.fixture
def engines(tiny_model: Path, runtime: Runtime) -> Iterator[tuple[TransformersEngine, TransformersEngine]]:
    ours = TransformersEngine(ModelRef(Model(base=str(tiny_model), dtype="float32")).load(runtime.notify, "cpu"), 1024)
    yield ours, PlainEngine(ours.loaded_model, 1024)


@pytest.mark.parametrize("options", [{}, {"include_end_of_turn": True}, {"first_token_only": True}])
def test_choice_scores_agree(engines: tuple[TransformersEngine, TransformersEngine], options: dict[str, bool]) -> None:
    ours, plain = (engine.score_choices(REQUESTS, [["1", "2", "33"]] * 6, **options) for engine in engines)
    for one, other in zip(ours, plain, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.tokens == other.tokens


def test_generations_agree(engines: tuple[TransformersEngine, TransformersEngine]) -> None:
    ours, plain = (engine.generate(REQUESTS, max_new_tokens=12, stop=["#"]) for engine in engines)
    assert [generation.text for generation in ours] == [generation.text for generation in plain]


def test_the_plain_engine_reads_the_whole_prompt_for_each_candidate(
    engines: tuple[TransformersEngine, TransformersEngine],
) -> None:
    ours, plain = (engine.score_choices(REQUESTS, [["1", "2"]] * 6) for engine in engines)
    lengths = [scores.cost.prompt_tokens + scores.cost.cached_tokens for scores in ours]
    assert [scores.cost.prompt_tokens for scores in plain] == [2 * (length + 1) for length in lengths]
