"""Runs requests through vLLM in this process. Candidates are scored from token ids, without reading each one in full."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllm import LLM, SamplingParams
from vllm.platforms import current_platform
from vllm.v1.engine.exceptions import EngineDeadError

from trimtab.engines._shared.tokenization import (
    ScoringStep,
    build_scoring_steps,
    decode_generation,
    encode_candidates,
    encode_request,
    format_too_long,
    select_scored_tokens,
    softmax,
)
from trimtab.errors import EngineError
from trimtab.models.chat import ChatTokenizer
from trimtab.models.config import Model, resolve_weights
from trimtab.models.inference.decoding import StopCondition
from trimtab.models.inference.generate import SampledCompletion, build_completion, build_stop_condition
from trimtab.models.inference.sampling import Sampling
from trimtab.models.loading import load_tokenizer, resolve_dtype_name
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation, Prompt

# The most tokens at one position whose log-probabilities vLLM returns in one request.
MAX_LOGPROB_TOKENS = 128


@dataclass(frozen=True, slots=True)
class VllmEngine:
    """A model loaded by vLLM. Prefixes that requests share are computed once, as long as they stay in the prefix cache."""

    llm: LLM
    chat: ChatTokenizer

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        """Samples from a seed derived from `seed` and the request's own tokens. A request that leaves no room for its
        response fails."""
        prompts = [encode_request(self.chat, request) for request in requests]
        shared = {"max_tokens": max_new_tokens, "temperature": temperature, "stop": list(stop)}
        # The end of a turn is defined by the chat template: the model's own files may name other tokens.
        end_of_turn = {"stop_token_ids": list(self.chat.stop_token_ids), "ignore_eos": True}
        params = [
            SamplingParams(**shared, **end_of_turn, seed=random.Random(f"{seed}:{ids}").getrandbits(32))
            for ids in prompts
        ]
        outputs, seconds = self._run(prompts, params, max_new_tokens)
        return [
            self._to_generation(output, stop, seconds)
            if output
            else Generation(text="", status="failed", note=self._too_long_note(len(ids), max_new_tokens))
            for output, ids in zip(outputs, prompts, strict=True)
        ]

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        """Runs one vLLM request for each position within the candidates; after the first, the prompt is in the cache.

        The alternative, `prompt_logprobs` of whole candidates, would recompute the prompt for each candidate, because vLLM
        does not use its prefix cache for them.
        """
        end_ids = self.chat.end_of_turn_ids if include_end_of_turn else ()
        encoded = [encode_candidates(self.chat, *pair) for pair in zip(requests, candidates, strict=True)]
        inputs = [
            (prefix, select_scored_tokens(suffixes, end_ids, first_token_only=first_token_only))
            for prefix, suffixes in encoded
        ]
        steps = [
            (index, step)
            for index, (_, scored) in enumerate(inputs)
            for step in build_scoring_steps(scored, MAX_LOGPROB_TOKENS)
        ]
        prompts = [[*inputs[index][0], *step.prefix] for index, step in steps]
        params = [
            SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(step.tokens), detokenize=False)
            for _, step in steps
        ]
        outputs, seconds = self._run(prompts, params)
        outputs_by_request: list[list[tuple[ScoringStep, Any]]] = [[] for _ in inputs]
        for (index, step), output in zip(steps, outputs, strict=True):
            outputs_by_request[index].append((step, output))
        return [
            self._to_choice_scores(prefix, scored, step_outputs, seconds * len(step_outputs))
            for (prefix, scored), step_outputs in zip(inputs, outputs_by_request, strict=True)
        ]

    def sample_completions(
        self, prompts: Sequence[tuple[str, Prompt]], sampling: Sampling
    ) -> Iterator[list[SampledCompletion]]:
        """Responds to (ID, prompt) pairs as `models.inference.generate.sample_completions` does, in one batch.

        The seed and the ID of a prompt determine its random numbers, which are not those of that function. Raises
        `EngineError` if a prompt leaves no room for its response.
        """
        encoded = [self.chat.encode_prompt(prompt) for _, prompt in prompts]
        shared: dict[str, Any] = {
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stop": list(sampling.stop),
            "stop_token_ids": list(self.chat.stop_token_ids),
            "ignore_eos": True,
            "logprobs": 0,  # of the sampled token alone
        }
        params = [
            SamplingParams(**shared, seed=random.Random(f"{sampling.seed}:{prompt_id}").getrandbits(32))
            for prompt_id, _ in prompts
        ]
        outputs, _ = self._run(encoded, params, sampling.max_new_tokens)
        if too_long := next((ids for ids, output in zip(encoded, outputs, strict=True) if output is None), None):
            raise EngineError(self._too_long_note(len(too_long), sampling.max_new_tokens))
        is_finished = build_stop_condition(self.chat, sampling.stop)
        yield [
            self._to_sampled(prompt_id, prompt, output.outputs[0], is_finished, sampling)
            for (prompt_id, prompt), output in zip(prompts, outputs, strict=True)
        ]

    def _to_sampled(
        self, prompt_id: str, prompt: Prompt, output: Any, is_finished: StopCondition, sampling: Sampling
    ) -> SampledCompletion:
        """vLLM searches a stop text in text with white space that `is_finished` ignores, so it may stop later."""
        ids = list(output.token_ids)
        size = (
            next((end for end in range(1, len(ids)) if is_finished(ids[:end])), len(ids)) if sampling.stop else len(ids)
        )
        response = ids[:size]
        ended = size < len(ids) or output.finish_reason == "stop"
        logprob = sum(step[token].logprob for token, step in zip(response, output.logprobs, strict=False))
        completion = build_completion(self.chat, prompt_id, prompt, response, ended, sampling.stop)
        return SampledCompletion(completion, tuple(response), logprob)

    def close(self) -> None:
        """Ends the process of vLLM, which frees its memory."""
        self.llm.llm_engine.engine_core.shutdown()

    def _run(
        self, prompts: Sequence[list[int]], params: Sequence[SamplingParams], extra_tokens: int = 1
    ) -> tuple[list[Any], float]:
        """One output per prompt, and the mean seconds per prompt.

        The output is None if the prompt plus `extra_tokens` exceeds the model's maximum length.
        """
        start = time.monotonic()
        fitting = [index for index, ids in enumerate(prompts) if len(ids) + extra_tokens <= self._max_length]
        inputs: list[Any] = [{"prompt_token_ids": prompts[index]} for index in fitting]
        try:
            results = self.llm.generate(inputs, [params[index] for index in fitting], use_tqdm=False) if fitting else []
        except EngineDeadError as error:
            raise EngineError(
                f"vLLM stopped while running a request; set VLLM_LOGGING_LEVEL=INFO to see why: {error}"
            ) from error
        outputs = dict(zip(fitting, results, strict=True))
        seconds = (time.monotonic() - start) / max(1, len(prompts))
        return [outputs.get(index) for index in range(len(prompts))], seconds

    @property
    def _max_length(self) -> int:
        return int(self.llm.model_config.max_model_len)

    def _too_long_note(self, prompt_tokens: int, extra_tokens: int) -> str:
        return f"{format_too_long(prompt_tokens, extra_tokens, self._max_length)} (max_model_len)"

    def _to_generation(self, output: Any, stop: Sequence[str], seconds: float) -> Generation:
        (completion,) = output.outputs
        ids = completion.token_ids
        cost = _sum_cost([output]) + Cost(generated_tokens=len(ids), seconds=seconds, calls=1)
        return decode_generation(self.chat, ids, stop, cost, finished=completion.finish_reason == "stop")

    def _to_choice_scores(
        self, prefix: list[int], scored: list[list[int]], outputs: Sequence[tuple[ScoringStep, Any]], seconds: float
    ) -> ChoiceScores:
        if any(output is None for _, output in outputs):
            note = self._too_long_note(len(prefix), max(map(len, scored)))
            return ChoiceScores(probabilities=(), status="failed", note=note)
        logprobs = {
            (*step.prefix, token): output.outputs[0].logprobs[0][token].logprob
            for step, output in outputs
            for token in step.tokens
        }
        sums = [sum(logprobs[tuple(ids[: end + 1])] for end in range(len(ids))) for ids in scored]
        return ChoiceScores(
            probabilities=softmax(sums),
            logprobs=tuple(sums),
            tokens=tuple(map(len, scored)),
            cost=_sum_cost([output for _, output in outputs]) + Cost(seconds=seconds, calls=1),
        )


def open_vllm_engine(model: Model, options: Mapping[str, Any], notify: Callable[[str], None]) -> VllmEngine:
    """Loads the model in vLLM. Raises `EngineError` if vLLM cannot load it."""
    weights = resolve_weights(model, notify)
    dtype = resolve_dtype_name(model, current_platform.device_type)
    chat = ChatTokenizer.from_tokenizer(load_tokenizer(model, weights), model.system)
    return load_in_vllm(weights.folder, weights.name, dtype, chat, options)


def load_in_vllm(folder: Path, name: str, dtype: str, chat: ChatTokenizer, options: Mapping[str, Any]) -> VllmEngine:
    """Loads the weights of a folder in vLLM. `name` is the model's, for messages. Raises `EngineError` if vLLM cannot."""
    arguments = {
        "enable_prefix_caching": True,
        # Ignores the generation settings that were published with the model: the study sets its own.
        "generation_config": "vllm",
        # Differences of log-probabilities are finer than bfloat16.
        "hf_overrides": {"head_dtype": "float32"},
        **options,
    }
    try:
        llm = LLM(model=str(folder), dtype=dtype, **arguments)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise EngineError(
            f"vLLM cannot load {name} with {dict(options)}: {error}; set VLLM_LOGGING_LEVEL=INFO to see more"
        ) from error
    return VllmEngine(llm, chat)


def _sum_cost(outputs: Sequence[Any]) -> Cost:
    prompt_tokens = sum(len(output.prompt_token_ids) for output in outputs)
    cached_tokens = sum(output.num_cached_tokens or 0 for output in outputs)
    return Cost(prompt_tokens=prompt_tokens - cached_tokens, cached_tokens=cached_tokens)
