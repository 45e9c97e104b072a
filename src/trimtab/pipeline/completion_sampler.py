"""Who generates the responses of a study's models: transformers in this process, or vLLM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trimtab.core.runtime import Runtime
from trimtab.engines.vllm.student import open_vllm_student
from trimtab.models.inference.sampling import Sampling
from trimtab.models.references import ModelRef
from trimtab.types import Prompt

if TYPE_CHECKING:
    from trimtab.models.inference.generate import SampledCompletion

# Responds to (ID, prompt) pairs, one batch at a time.
CompletionSampler = Callable[[Sequence[tuple[str, Prompt]]], Iterator["list[SampledCompletion]"]]


@contextmanager
def open_completion_sampler(model: ModelRef, sampling: Sampling, runtime: Runtime) -> Iterator[CompletionSampler]:
    """Loads the model. Raises `EngineError` if vLLM is missing or cannot load it."""
    from trimtab.models.inference.generate import sample_completions

    if sampling.vllm is None:
        loaded = model.load(runtime.notify, runtime.device, merge=True)
        yield lambda prompts: sample_completions(loaded.model, loaded.chat, prompts, sampling, runtime.token_budget)
        return
    with open_vllm_student(model, sampling.vllm, runtime) as engine:
        yield lambda prompts: engine.sample_completions(prompts, sampling)
