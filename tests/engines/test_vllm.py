"""The vllm engine agrees with the transformers engine. Most tests need vLLM to be installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from trimtab.core.component import build_component, dump_component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import ProgressTick, Runtime
from trimtab.engines.transformers import TransformersEngine
from trimtab.engines.vllm import Vllm
from trimtab.errors import EngineError, StudyError
from trimtab.models.config import Model
from trimtab.models.references import ModelRef
from trimtab.models.sources.registry import SMOLLM2
from trimtab.types import EngineRequest, build_user_prompt

# vLLM's imports emit deprecation warnings of torch.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
# Longer than 128 tokens, one block of vLLM's prefix cache on a CPU.
RULES = "Read the two responses with care and say which of them is the better one. " * 16
REQUESTS = [
    EngineRequest(prompt=build_user_prompt(f"{RULES} Pair {number}."), prefill="Response ") for number in range(1, 4)
]
CANDIDATES = [["1", "2", "33 apples", "33 pears"]] * 3
LONG = EngineRequest(prompt=build_user_prompt("x " * 1100))
SMALL = {
    "dtype": "float32",
    "max_model_len": 1024,
    "gpu_memory_utilization": 0.1,
    "engine_args": {"enforce_eager": True, "max_num_seqs": 8},
}


@contextmanager
def silent_progress(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    yield lambda done=1: None


def build_settings(**more: Any) -> Vllm:
    result = build_component("engines", {"kind": "vllm", "model": SMOLLM2.name, **more})
    assert isinstance(result, Vllm)
    return result


# settings


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": "@weak"}, "model: @weak is a model of a study, which only the engine transformers runs"),
        ({"engine_args": {"dtype": "half"}}, "engine_args.dtype: set this next to engine_args"),
        ({"gpu_memory_utilization": 0}, "gpu_memory_utilization: must be greater than 0"),
    ],
)
def test_a_wrong_setting_is_reported_with_its_location(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        build_settings(**wrong)


def test_settings_round_trip_and_only_settings_that_affect_results_are_in_the_content_hash() -> None:
    made = build_settings(**SMALL)
    assert build_component("engines", dump_component(made)) == made
    assert {"model", "dtype", "engine_args"} == set(Vllm.model_fields) - Vllm.FINGERPRINT_EXCLUDED
    assert made.content_hash() == build_settings(dtype="float32").content_hash() != build_settings().content_hash()


def test_a_missing_package_raises_with_the_install_command(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_LOGGING_LEVEL", "VLLM_NO_USAGE_STATS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match=r"require vLLM 0.32 or newer .*pip install '\.\[vllm\]'"):
        build_settings().start(runtime)
    with pytest.raises(EngineError, match=r"require vLLM 0\.32 or newer"):
        build_settings().preflight(runtime)


def test_vllm_and_torch_are_imported_only_when_the_engine_starts() -> None:
    code = "import sys, trimtab.engines.vllm; print('vllm' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


# results


@pytest.fixture(scope="module")
def quiet_runtime() -> Runtime:
    return Runtime(progress=silent_progress, notify=lambda message: None)


@pytest.fixture(scope="module")
def engine(quiet_runtime: Runtime) -> Iterator[Engine]:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed: make test-vllm")
    started: Any = build_settings(**SMALL).start(quiet_runtime)
    yield started
    # Without this, vLLM's own cleanup order emits warnings.
    started.llm.llm_engine.engine_core.shutdown()
    started.llm.llm_engine.engine_core.ctx.destroy()


@pytest.fixture(scope="module")
def transformers_engine(engine: Engine, quiet_runtime: Runtime) -> TransformersEngine:
    """Depends on the other engine, so that a skipped test loads no model."""
    return TransformersEngine(
        ModelRef(Model(base=SMOLLM2.name, dtype="float32")).load(quiet_runtime.notify, "cpu"), 1024
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"include_end_of_turn": True}, {"first_token_only": True}])
def test_choice_scores_agree_with_transformers(
    engine: Engine, transformers_engine: TransformersEngine, options: dict[str, bool]
) -> None:
    expected = transformers_engine.score_choices(REQUESTS, CANDIDATES, **options)
    for result, other in zip(engine.score_choices(REQUESTS, CANDIDATES, **options), expected, strict=True):
        assert (result.status, result.tokens) == ("ok", other.tokens)
        assert result.logprobs == pytest.approx(other.logprobs, abs=2e-3)
        assert result.probabilities == pytest.approx(other.probabilities, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [[], ["better", " one"]])
def test_greedy_text_agrees_with_transformers(
    engine: Engine, transformers_engine: TransformersEngine, stop: list[str]
) -> None:
    result = engine.generate(REQUESTS, max_new_tokens=8, stop=stop)
    expected = transformers_engine.generate(REQUESTS, max_new_tokens=8, stop=stop)
    assert [(item.text, item.finish_reason) for item in result] == [
        (item.text, item.finish_reason) for item in expected
    ]
    assert [item.cost.generated_tokens for item in result] == [item.cost.generated_tokens for item in expected]


@pytest.mark.slow
def test_a_response_that_ends_by_itself_has_finish_reason_end(
    engine: Engine, transformers_engine: TransformersEngine
) -> None:
    short = [EngineRequest(prompt=build_user_prompt("Say hello."))]
    (result,), (other,) = (item.generate(short, max_new_tokens=64) for item in (engine, transformers_engine))
    assert result.finish_reason == other.finish_reason == "end"
    assert (result.text, result.cost.generated_tokens) == (other.text, other.cost.generated_tokens)


@pytest.mark.slow
def test_samples_depend_only_on_the_seed_and_the_request(engine: Engine) -> None:
    together = engine.generate(REQUESTS, max_new_tokens=8, temperature=1.0, seed=3)
    (alone,) = engine.generate(REQUESTS[1:2], max_new_tokens=8, temperature=1.0, seed=3)
    others = [
        engine.generate(REQUESTS[1:2], max_new_tokens=8, temperature=1.0, seed=seed)[0].text for seed in range(4, 8)
    ]
    assert alone.text == together[1].text
    assert set(others) != {alone.text}


@pytest.mark.slow
def test_prompts_are_read_from_the_prefix_cache(engine: Engine) -> None:
    engine.score_choices(REQUESTS, CANDIDATES)
    for result in engine.score_choices(REQUESTS, CANDIDATES):
        # three positions per request: the first, after 33, and after the next word
        assert result.cost.cached_tokens > result.cost.prompt_tokens > 0
        assert result.cost.calls == 1


@pytest.mark.slow
def test_a_request_that_is_too_long_fails_alone(engine: Engine) -> None:
    long, short = engine.generate([LONG, REQUESTS[0]], max_new_tokens=2)
    assert (long.status, short.status) == ("failed", "ok")
    assert long.note.endswith(
        "needs up to 2 more for the response, but the model's maximum length is 1024 (max_model_len)"
    )
    (cramped,) = engine.generate([REQUESTS[0]], max_new_tokens=1000)
    assert (cramped.status, "needs up to 1000 more" in cramped.note) == ("failed", True)
    heavy, light = engine.score_choices([LONG, REQUESTS[0]], CANDIDATES[:2])
    assert (heavy.status, heavy.probabilities, light.status) == ("failed", (), "ok")


@pytest.mark.slow
def test_engine_args_that_vllm_does_not_know_raise_with_their_names(engine: Engine, quiet_runtime: Runtime) -> None:
    with pytest.raises(EngineError, match=r"vLLM cannot load .*no_such"):
        build_settings(engine_args={"no_such": 1}).start(quiet_runtime)
