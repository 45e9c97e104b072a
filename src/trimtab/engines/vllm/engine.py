"""Questions put to vLLM in this process: token ids go in, and candidates are weighed without being read whole."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    select_scored_tokens,
    softmax,
)
from trimtab.errors import EngineError
from trimtab.models.chat import ChatTokenizer
from trimtab.models.config import Model, resolve_weights
from trimtab.models.loading import load_tokenizer, resolve_dtype_name
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation

# So many tokens of one place vLLM tells the log-probabilities of in one request.
MAX_LOGPROB_TOKENS = 128


@dataclass(frozen=True, slots=True)
class VllmEngine:
    """A model that vLLM holds. Beginnings that questions share are read once, as long as they stay in its cache."""

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
        """Draws come from the seed and the question's own tokens. A question that leaves no room for its answer fails."""
        texts = [encode_request(self.chat, question) for question in requests]
        fixed = {"max_tokens": max_new_tokens, "temperature": temperature, "stop": list(stop)}
        # what ends a turn is ours to say: the model's own files may name other tokens
        ends = {"stop_token_ids": list(self.chat.stop_token_ids), "ignore_eos": True}
        params = [SamplingParams(**fixed, **ends, seed=random.Random(f"{seed}:{ids}").getrandbits(32)) for ids in texts]
        outputs, seconds = self._run(texts, params, max_new_tokens)
        return [
            self._to_generation(output, stop, seconds)
            if output
            else Generation(text="", status="failed", note=self._too_long_note(len(ids), max_new_tokens))
            for output, ids in zip(outputs, texts, strict=True)
        ]

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        """A request for each place at which candidates part or go on; behind the first, all have the question in the cache.

        Log-probabilities of whole prompts, the other way, would read every candidate's prompt anew: vLLM looks into its
        cache for none of them.
        """
        end = self.chat.end_of_turn_ids if include_end_of_turn else ()
        split = [
            (text, select_scored_tokens(left, end, first_token=first_token_only))
            for text, left in (encode_candidates(self.chat, *each) for each in zip(requests, candidates, strict=True))
        ]
        steps = [
            (number, step)
            for number, (_, rest) in enumerate(split)
            for step in build_scoring_steps(rest, MAX_LOGPROB_TOKENS)
        ]
        texts = [[*split[number][0], *step.prefix] for number, step in steps]
        params = [
            SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(step.tokens), detokenize=False)
            for _, step in steps
        ]
        outputs, seconds = self._run(texts, params)
        told: list[list[tuple[ScoringStep, Any]]] = [[] for _ in split]
        for (number, step), output in zip(steps, outputs, strict=True):
            told[number].append((step, output))
        return [
            self._to_choice_scores(text, rest, found, seconds * len(found))
            for (text, rest), found in zip(split, told, strict=True)
        ]

    def _run(
        self, texts: Sequence[list[int]], params: Sequence[SamplingParams], room: int = 1
    ) -> tuple[list[Any], float]:
        """An output for each text, None where it is longer with so many tokens more than the model reads; seconds for each."""
        start = time.monotonic()
        fits = [place for place, ids in enumerate(texts) if len(ids) + room <= self._max_length]
        prompts: list[Any] = [{"prompt_token_ids": texts[place]} for place in fits]
        try:
            came = self.llm.generate(prompts, [params[place] for place in fits], use_tqdm=False) if fits else []
        except EngineDeadError as error:
            raise EngineError(
                f"vLLM broke down while it was asked; VLLM_LOGGING_LEVEL=INFO shows why: {error}"
            ) from error
        outputs = dict(zip(fits, came, strict=True))
        return [outputs.get(place) for place in range(len(texts))], (time.monotonic() - start) / max(1, len(texts))

    @property
    def _max_length(self) -> int:
        return int(self.llm.model_config.max_model_len)

    def _too_long_note(self, length: int, room: int) -> str:
        return (
            f"the question has {length} tokens and its answer up to {room} more to read, and the model reads {self._max_length} "
            "(max_model_len)"
        )

    def _to_generation(self, output: Any, stop: Sequence[str], seconds: float) -> Generation:
        (written,) = output.outputs
        cost = _sum_cost([output]) + Cost(generated_tokens=len(written.token_ids), seconds=seconds, calls=1)
        return decode_generation(self.chat, written.token_ids, stop, cost, finished=written.finish_reason == "stop")

    def _to_choice_scores(
        self, text: list[int], rest: list[list[int]], found: Sequence[tuple[ScoringStep, Any]], seconds: float
    ) -> ChoiceScores:
        if any(output is None for _, output in found):
            return ChoiceScores(
                probabilities=(), status="failed", note=self._too_long_note(len(text), max(map(len, rest)))
            )
        logprobs = {
            (*step.prefix, token): output.outputs[0].logprobs[0][token].logprob
            for step, output in found
            for token in step.tokens
        }
        sums = [sum(logprobs[tuple(ids[: end + 1])] for end in range(len(ids))) for ids in rest]
        return ChoiceScores(
            probabilities=softmax(sums),
            logprobs=tuple(sums),
            tokens=tuple(map(len, rest)),
            cost=_sum_cost([output for _, output in found]) + Cost(seconds=seconds, calls=1),
        )


def open_vllm_engine(model: Model, options: Mapping[str, Any], notify: Callable[[str], None]) -> VllmEngine:
    """The model in vLLM's memory. Raises `EngineError` where it does not get there."""
    weights = resolve_weights(model, notify)
    dtype = resolve_dtype_name(model, current_platform.device_type)
    given = {
        "enable_prefix_caching": True,
        # the settings for writing that a model is published with are not what a study says
        "generation_config": "vllm",
        # differences of log-probabilities that are finer than bfloat16
        "hf_overrides": {"head_dtype": "float32"},
        **options,
    }
    try:
        llm = LLM(model=str(weights.folder), dtype=dtype, **given)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise EngineError(
            f"vLLM cannot hold {weights.name} with {dict(options)}: {error}; VLLM_LOGGING_LEVEL=INFO shows more"
        ) from error
    return VllmEngine(llm, ChatTokenizer.from_tokenizer(load_tokenizer(model, weights), model.system))


def _sum_cost(outputs: Sequence[Any]) -> Cost:
    read = sum(len(output.prompt_token_ids) for output in outputs)
    reused = sum(output.num_cached_tokens or 0 for output in outputs)
    return Cost(prompt_tokens=read - reused, cached_tokens=reused)
