"""The vllm engine asks the same tokens as the transformers engine and gives the same answers, where vLLM is installed."""

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
from trimtab.models.checkpoint import load_base_model
from trimtab.models.config import Model
from trimtab.models.sources.registry import SMOLLM2
from trimtab.types import EngineRequest, build_user_prompt

# What vLLM loads warns of torch's own plans.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
# Longer than the 128 tokens that are one block of vLLM's cache on a processor.
RULES = "Read the two responses with care and say which of them is the better one. " * 16
QUESTIONS = [
    EngineRequest(prompt=build_user_prompt(f"{RULES} Pair {number}."), prefill="Response ") for number in range(1, 4)
]
AMONG = [["1", "2", "33 apples", "33 pears"]] * 3
LONG = EngineRequest(prompt=build_user_prompt("x " * 1100))
SMALL = {
    "dtype": "float32",
    "max_model_len": 1024,
    "gpu_memory_utilization": 0.1,
    "extra": {"enforce_eager": True, "max_num_seqs": 8},
}


@contextmanager
def bar(label: str, total: int, unit: str) -> Iterator[ProgressTick]:
    yield lambda done=1: None


def settings(**more: Any) -> Vllm:
    found = build_component("engines", {"kind": "vllm", "model": SMOLLM2.name, **more})
    assert isinstance(found, Vllm)
    return found


# settings


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": "@weak"}, "model: @weak is a model of a study, which is asked through transformers"),
        ({"extra": {"dtype": "half"}}, "extra: dtype is a setting of its own"),
        ({"gpu_memory_utilization": 0}, "gpu_memory_utilization: must be greater than 0"),
    ],
)
def test_a_wrong_setting_is_told_with_its_place(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        settings(**wrong)


def test_settings_survive_and_only_what_bears_on_answers_bears_on_identity() -> None:
    made = settings(**SMALL)
    assert build_component("engines", dump_component(made)) == made
    assert {"model", "dtype", "extra"} == set(Vllm.model_fields) - Vllm.FINGERPRINT_EXCLUDED
    assert made.content_hash() == settings(dtype="float32").content_hash() != settings().content_hash()


def test_without_the_package_starting_says_how_to_install_it(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_LOGGING_LEVEL", "VLLM_NO_USAGE_STATS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match=r"need vLLM 0.32 or newer .*pip install '\.\[vllm\]'"):
        settings().start(runtime)
    with pytest.raises(EngineError, match=r"need vLLM 0\.32 or newer"):
        settings().preflight(runtime)


def test_neither_vllm_nor_torch_is_loaded_before_the_engine_starts() -> None:
    code = "import sys, trimtab.engines.vllm; print('vllm' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


# answers


@pytest.fixture(scope="module")
def quiet_runtime() -> Runtime:
    return Runtime(progress=bar, notify=lambda message: None)


@pytest.fixture(scope="module")
def engine(quiet_runtime: Runtime) -> Iterator[Engine]:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed: make test-vllm")
    opened: Any = settings(**SMALL).start(quiet_runtime)
    yield opened
    # what vLLM holds goes with it, but not in an order that leaves no warning
    opened.llm.llm_engine.engine_core.shutdown()
    opened.llm.llm_engine.engine_core.ctx.destroy()


@pytest.fixture(scope="module")
def through_transformers(engine: Engine, quiet_runtime: Runtime) -> TransformersEngine:
    """After the other engine, so that a test that is skipped opens no model."""
    return TransformersEngine(
        load_base_model(Model(base=SMOLLM2.name, dtype="float32"), quiet_runtime.notify, "cpu"), 1024
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"ended": True}, {"first_token": True}])
def test_candidates_weigh_as_they_do_through_transformers(
    engine: Engine, through_transformers: TransformersEngine, how: dict[str, bool]
) -> None:
    expected = through_transformers.score_choices(QUESTIONS, AMONG, **how)
    for found, other in zip(engine.score_choices(QUESTIONS, AMONG, **how), expected, strict=True):
        assert (found.status, found.tokens) == ("ok", other.tokens)
        assert found.logprobs == pytest.approx(other.logprobs, abs=2e-3)
        assert found.probabilities == pytest.approx(other.probabilities, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [[], ["better", " one"]])
def test_the_likeliest_text_is_what_transformers_writes(
    engine: Engine, through_transformers: TransformersEngine, stop: list[str]
) -> None:
    found = engine.generate(QUESTIONS, max_new_tokens=8, stop=stop)
    expected = through_transformers.generate(QUESTIONS, max_new_tokens=8, stop=stop)
    assert [(each.text, each.finish_reason) for each in found] == [(each.text, each.finish_reason) for each in expected]
    assert [each.cost.generated_tokens for each in found] == [each.cost.generated_tokens for each in expected]


@pytest.mark.slow
def test_an_answer_that_ends_by_itself_says_so(engine: Engine, through_transformers: TransformersEngine) -> None:
    short = [EngineRequest(prompt=build_user_prompt("Say hello."))]
    (found,), (other,) = (each.generate(short, max_new_tokens=64) for each in (engine, through_transformers))
    assert found.finish_reason == other.finish_reason == "end"
    assert (found.text, found.cost.generated_tokens) == (other.text, other.cost.generated_tokens)


@pytest.mark.slow
def test_draws_come_from_the_seed_and_the_question_alone(engine: Engine) -> None:
    together = engine.generate(QUESTIONS, max_new_tokens=8, temperature=1.0, seed=3)
    (alone,) = engine.generate(QUESTIONS[1:2], max_new_tokens=8, temperature=1.0, seed=3)
    others = [
        engine.generate(QUESTIONS[1:2], max_new_tokens=8, temperature=1.0, seed=seed)[0].text for seed in range(4, 8)
    ]
    assert alone.text == together[1].text
    assert set(others) != {alone.text}


@pytest.mark.slow
def test_what_was_read_before_is_not_read_again(engine: Engine) -> None:
    engine.score_choices(QUESTIONS, AMONG)
    for found in engine.score_choices(QUESTIONS, AMONG):
        # three places for each question: where all begin, behind 33, and behind the word that follows
        assert found.cost.cached_tokens > found.cost.prompt_tokens > 0
        assert found.cost.calls == 1


@pytest.mark.slow
def test_a_question_that_is_too_long_fails_and_takes_no_other_with_it(engine: Engine) -> None:
    long, short = engine.generate([LONG, QUESTIONS[0]], max_new_tokens=2)
    assert (long.status, short.status) == ("failed", "ok")
    assert long.note.endswith("and its answer up to 2 more to read, and the model reads 1024 (max_model_len)")
    (cramped,) = engine.generate([QUESTIONS[0]], max_new_tokens=1000)
    assert (cramped.status, "its answer up to 1000 more" in cramped.note) == ("failed", True)
    heavy, light = engine.score_choices([LONG, QUESTIONS[0]], AMONG[:2])
    assert (heavy.status, heavy.probabilities, light.status) == ("failed", (), "ok")


@pytest.mark.slow
def test_settings_that_vllm_does_not_know_are_an_error_that_shows_them(engine: Engine, quiet_runtime: Runtime) -> None:
    with pytest.raises(EngineError, match=r"vLLM cannot hold .*no_such"):
        settings(extra={"no_such": 1}).start(quiet_runtime)
