"""A student in vLLM gives the responses that it gives in this process. These tests need vLLM to be installed."""

from __future__ import annotations

import importlib.util
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.core.runtime import Runtime, show_no_progress
from trimtab.engines.transformers import TransformersEngine
from trimtab.engines.vllm.student import open_vllm_student
from trimtab.errors import EngineError
from trimtab.models.config import Model
from trimtab.models.inference.sampling import Sampling
from trimtab.models.inference.vllm_options import VllmOptions
from trimtab.models.references import ModelRef
from trimtab.models.sources.registry import SMOLLM2
from trimtab.storage.record import write_record
from trimtab.types import EngineRequest, Prompt, build_user_prompt, prompt_hash

if TYPE_CHECKING:
    from trimtab.engines.vllm.engine import VllmEngine
    from trimtab.models.inference.generate import SampledCompletion

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
BASE = Model(base=SMOLLM2.name, dtype="float32")
OPTIONS = VllmOptions(
    max_model_len=512, gpu_memory_utilization=0.1, engine_args={"enforce_eager": True, "max_num_seqs": 8}
)
RUNTIME = Runtime(progress=show_no_progress, notify=lambda message: None)
RECORD: dict[str, Any] = {
    **{"stage": "dpo", "name": "dpo.weak", "version": 1, "fingerprint": "", "finished_at": "", "seconds": 1.0},
    **{"settings": {}, "inputs": {}, "facts": {}},
}
QUESTIONS = ("What is the capital of France?", "Say hello.", "Name three colors.", "How do I boil an egg?")
PROMPTS: list[tuple[str, Prompt]] = [(prompt_hash(prompt), prompt) for prompt in map(build_user_prompt, QUESTIONS)]
LONG = build_user_prompt("x " * 500)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """The folder of a trained adapter, large enough to change what the model says."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed: make test-vllm")
    import torch

    from trimtab.models.adapters import add_adapter
    from trimtab.models.checkpoint import save_adapter

    adapted = add_adapter(ModelRef(BASE).load(RUNTIME.notify, "cpu").model, rank=4, alpha=None, seed=1)
    generator = torch.Generator().manual_seed(0)
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            weights.data = torch.randn(weights.shape, generator=generator) * 0.02
    folder: Path = tmp_path_factory.mktemp("student")
    save_adapter(adapted, BASE, folder)
    write_record(folder, RECORD)
    return ModelRef(folder)


@pytest.fixture(scope="module")
def engine(student: ModelRef) -> Iterator[VllmEngine]:
    with open_vllm_student(student, OPTIONS, RUNTIME) as opened:
        assert multiprocessing.active_children()
        yield opened
    assert multiprocessing.active_children() == []


def sample_in_this_process(model: ModelRef, sampling: Sampling) -> dict[str, SampledCompletion]:
    from trimtab.models.inference.generate import sample_completions

    loaded = model.load(RUNTIME.notify, "cpu", merge=True)
    batches = sample_completions(loaded.model, loaded.chat, PROMPTS, sampling, RUNTIME.token_budget)
    return {each.completion.prompt_id: each for batch in batches for each in batch}


@pytest.mark.parametrize("stop", [(), (" Paris", ".")])
def test_greedy_responses_have_the_same_tokens_as_in_this_process(
    engine: VllmEngine, student: ModelRef, stop: tuple[str, ...]
) -> None:
    sampling = Sampling(temperature=0, max_new_tokens=24, stop=stop)
    (results,) = engine.sample_completions(PROMPTS, sampling)
    expected = sample_in_this_process(student, sampling)
    for result in results:
        other = expected[result.completion.prompt_id]
        assert (result.completion, result.token_ids) == (other.completion, other.token_ids)
        assert result.logprob == pytest.approx(other.logprob, abs=1e-2)


def test_the_adapter_is_part_of_the_model(engine: VllmEngine) -> None:
    sampling = Sampling(temperature=0, max_new_tokens=24)
    (results,) = engine.sample_completions(PROMPTS, sampling)
    base = sample_in_this_process(ModelRef(BASE), sampling)
    assert any(each.token_ids != base[each.completion.prompt_id].token_ids for each in results)


def test_samples_depend_only_on_the_seed_and_the_prompt(engine: VllmEngine) -> None:
    def sample(prompts: list[tuple[str, Prompt]], seed: int) -> list[tuple[int, ...]]:
        (results,) = engine.sample_completions(prompts, Sampling(temperature=1, max_new_tokens=8, seed=seed))
        return [each.token_ids for each in results]

    together = sample(PROMPTS, 3)
    assert sample(PROMPTS[1:2], 3) == together[1:2]
    assert sample(PROMPTS, 4) != together


def test_it_samples_for_rounds_with_its_cost(engine: VllmEngine, student: ModelRef) -> None:
    requests = [EngineRequest(prompt=prompt) for _, prompt in PROMPTS]
    other = TransformersEngine(student.load(RUNTIME.notify, "cpu", merge=True), 1024)
    expected = other.generate(requests, max_new_tokens=8)
    for result, reply in zip(engine.generate(requests, max_new_tokens=8), expected, strict=True):
        assert (result.text, result.finish_reason) == (reply.text, reply.finish_reason)
        assert result.cost.generated_tokens == reply.cost.generated_tokens > 0


def test_a_prompt_without_room_for_its_response_is_an_error(engine: VllmEngine) -> None:
    with pytest.raises(EngineError, match=r"needs up to 24 more for the response, .* 512 \(max_model_len\)"):
        list(engine.sample_completions([("long", LONG)], Sampling(max_new_tokens=24)))
