"""Sends requests to a server with the OpenAI protocol, many at a time, and returns the results in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.engines._shared.in_order import collect_in_order
from trimtab.engines.openai.choice_scoring import (
    Inconclusive,
    StrategyRecord,
    score_by_echo,
    score_by_first_token,
    score_by_samples,
    split_common_words,
)
from trimtab.engines.openai.client import Connection, ServerResponse
from trimtab.engines.openai.messages import TURN_END, cut_at_stop, strip_repeated_prefill, to_messages, to_text
from trimtab.engines.openai.prompt_counts import PromptCounts
from trimtab.engines.openai.responses import (
    TokenLogprob,
    parse_choice,
    parse_generation,
    parse_token_logprobs,
    starts_with_reasoning,
)
from trimtab.errors import EngineError
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation, build_user_prompt, text_hash

if TYPE_CHECKING:
    from trimtab.engines.openai import Openai

T = TypeVar("T")
Strategy = Callable[[EngineRequest, Sequence[str], bool, bool], ChoiceScores | Inconclusive]

# Extra tokens of a sample that may repeat the last lines of its prefill.
REPEATED_PREFILL_TOKENS = 32
# A prefill that no model generates by itself, let alone in one token.
PREFILL_PROBE = EngineRequest(prompt=build_user_prompt("Go on."), prefill="Zq7-Xw3-Kv9")


@dataclass(slots=True)
class PrefillEcho:
    """Whether the server returns the prefill as part of the reply, as llama.cpp does in 2026.

    Mutable and shared by all threads: it is detected when it first matters.
    """

    detected: bool | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


@dataclass(frozen=True, slots=True)
class OpenaiEngine:
    """A connected server. The result of a request does not depend on the other requests or on the concurrency."""

    settings: Openai
    connection: Connection
    prefill_echo: PrefillEcho = field(default_factory=PrefillEcho)
    strategies: StrategyRecord = field(default_factory=StrategyRecord)
    prompt_counts: PromptCounts = field(default_factory=PromptCounts)

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        return collect_in_order(
            self.iter_generate(requests, max_new_tokens=max_new_tokens, temperature=temperature, stop=stop, seed=seed)
        )

    def iter_generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        skip: Container[int] = (),
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Iterator[Mapping[int, Generation]]:
        """Derives a sampling seed from `seed` and each request; servers without seeds ignore it."""
        return self._run_requests(
            lambda index: self._generate_one(requests[index], max_new_tokens, temperature, stop, seed),
            len(requests),
            skip,
        )

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        return collect_in_order(
            self.iter_score_choices(
                requests, candidates, first_token_only=first_token_only, include_end_of_turn=include_end_of_turn
            )
        )

    def iter_score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        skip: Container[int] = (),
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> Iterator[Mapping[int, ChoiceScores]]:
        """Uses the first strategy that works. Only echo and sampling can include the end of the turn."""
        pairs = list(zip(requests, candidates, strict=True))
        return self._run_requests(
            lambda index: self._score_one(*pairs[index], first_token_only, include_end_of_turn), len(pairs), skip
        )

    def _run_requests(self, run: Callable[[int], T], count: int, skip: Container[int]) -> Iterator[Mapping[int, T]]:
        """Yields each result as it arrives. After an error, the requests in flight still finish: they are paid for."""
        with ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="trimtab-openai") as pool:
            futures = {pool.submit(run, index): index for index in range(count) if index not in skip}
            first_error: EngineError | None = None
            try:
                for future in as_completed(futures):
                    if future.cancelled():
                        continue
                    try:
                        result = future.result()
                    except EngineError as error:
                        first_error = first_error or error
                        for pending in futures:
                            pending.cancel()
                        continue
                    yield {futures[future]: result}
                if first_error is not None:
                    raise first_error
            finally:
                # After an error, requests that have not started are not sent.
                pool.shutdown(wait=False, cancel_futures=True)

    def _generate_one(
        self,
        request: EngineRequest,
        max_new_tokens: int,
        temperature: float,
        stop: Sequence[str],
        seed: int,
        sample: int = 0,
    ) -> Generation:
        fields: dict[str, Any] = {self.settings.max_tokens_field: max_new_tokens, "temperature": temperature}
        if temperature > 0:
            fields |= {"top_p": 1.0, "seed": _request_seed(request, seed, sample)}
        stop_texts = [*stop] if self.settings.chat else [*stop, TURN_END]
        response = self._request(request, {**fields, "stop": stop_texts} if stop_texts else fields)
        if response.note:
            return Generation(text="", status="failed", note=response.note, cost=response.cost)
        generation = parse_generation(response.body, response.cost, self.settings.max_tokens_field)
        return self._strip_prefill(request, cut_at_stop(generation, stop_texts))

    def _strip_prefill(self, request: EngineRequest, generation: Generation) -> Generation:
        """Removes the prefill from the reply if the server, not the model, repeated it. A probe request detects which.

        If the prefill is part of the prompt, it was the model, against its instructions.
        """
        if self._prefill_is_in_prompt(request):
            return replace(generation, text=strip_repeated_prefill(request.prefill, generation.text))
        variants = (request.prefill, request.prefill.rstrip())
        repeated = next((text for text in variants if generation.text.startswith(text)), "")
        if not repeated or not self.settings.chat:
            return generation
        with self.prefill_echo.lock:
            if self.prefill_echo.detected is None:
                response = self._request(PREFILL_PROBE, {self.settings.max_tokens_field: 1, "temperature": 0.0})
                generation = replace(generation, cost=generation.cost + response.cost)
                if response.note:
                    note = f"could not determine whether the server repeats the prefill: {response.note}"
                    return replace(generation, text="", status="failed", note=note)
                probe = parse_generation(response.body, response.cost)
                self.prefill_echo.detected = probe.text.startswith(PREFILL_PROBE.prefill)
        if not self.prefill_echo.detected:
            return generation
        return replace(generation, text=generation.text.removeprefix(repeated))

    def _score_one(
        self, request: EngineRequest, candidates: Sequence[str], first_token_only: bool, include_end_of_turn: bool
    ) -> ChoiceScores:
        names = [candidate.strip() for candidate in candidates]
        if len(set(names)) < len(names) or not all(names):
            note = f"candidates must be distinct and not empty, got {list(candidates)}"
            return ChoiceScores(probabilities=(), status="failed", note=note)
        reasons, cost = list[str](), Cost()
        for name, strategy in self._select_strategies(first_token_only).items():
            if name in self.strategies.unsupported:
                reasons.append(self.strategies.unsupported[name])
                continue
            result = strategy(request, candidates, first_token_only, include_end_of_turn)
            self.strategies.record(name, result)
            cost += result.cost
            if isinstance(result, ChoiceScores):
                return replace(result, note="; ".join([result.note, *reasons]), cost=cost)
            reasons.append(result.reason)
        return ChoiceScores(probabilities=(), status="failed", note="; ".join(reasons), cost=cost)

    def _select_strategies(self, first_token_only: bool) -> dict[str, Strategy]:
        strategies: dict[str, Strategy] = {}
        if self.settings.logprobs is not False:
            if not self.settings.chat and not first_token_only:
                strategies["echo"] = self._score_by_echo
            strategies["first token"] = self._score_by_first_token
        if self.settings.logprobs is not True:
            strategies["samples"] = self._score_by_samples
        return strategies

    def _score_by_first_token(
        self, request: EngineRequest, candidates: Sequence[str], first_token_only: bool, include_end_of_turn: bool
    ) -> ChoiceScores | Inconclusive:
        if self._prefill_is_in_prompt(request):
            return Inconclusive("with prefill: unsupported the first token of a reply may repeat the prefill")
        common, rest = ("", candidates) if first_token_only else split_common_words(candidates)
        count = self.settings.top_logprob_count
        logprob_fields = {"logprobs": True, "top_logprobs": count} if self.settings.chat else {"logprobs": count}
        # At temperature 1, servers that scale log-probabilities by the temperature agree with those that do not.
        fields = {self.settings.max_tokens_field: 1, "temperature": 1.0, **logprob_fields}
        response = self._request(_extend_prefill(request, common), fields)
        if response.note:
            return _to_strategy_failure(response)
        if starts_with_reasoning(response.body):
            return Inconclusive("the reply starts with the model's reasoning", response.cost, unsupported=True)
        tokens = parse_token_logprobs(parse_choice(response.body))
        if not tokens or not tokens[0].top_logprobs:
            # An empty reply has no token, so it does not show whether the server supports log-probabilities.
            text = parse_generation(response.body, response.cost).text
            return Inconclusive("the server returns no log-probabilities", response.cost, unsupported=text != "")
        result = score_by_first_token(
            rest, tokens[0], first_token_only=first_token_only, include_end_of_turn=include_end_of_turn
        )
        if isinstance(result, ChoiceScores) and common:
            # The log-probabilities are those of the text after the common words, not of whole candidates.
            result = replace(result, logprobs=None, tokens=None, note=f"{result.note}; after {common!r}")
        return replace(result, cost=response.cost)

    def _score_by_echo(
        self, request: EngineRequest, candidates: Sequence[str], first_token_only: bool, include_end_of_turn: bool
    ) -> ChoiceScores | Inconclusive:
        del first_token_only
        texts = [candidate + TURN_END * include_end_of_turn for candidate in candidates]
        cost, echoed = Cost(), list[list[TokenLogprob]]()
        for text in texts:
            prompt = to_text(request) + text
            # Generates one token and drops it, because not every server accepts a limit of 0.
            fields = {"prompt": prompt, "echo": True, "logprobs": 1, self.settings.max_tokens_field: 1}
            response = self._request(request, fields)
            cost += response.cost
            if response.note:
                return replace(_to_strategy_failure(response), cost=cost)
            choice = parse_choice(response.body)
            if not str(choice.get("text")).startswith(prompt):
                return _echo_failure(prompt, parse_generation(response.body, response.cost).text, cost)
            echoed.append(parse_token_logprobs(choice)[:-1])
        return replace(score_by_echo(texts, echoed), cost=cost)

    def _score_by_samples(
        self, request: EngineRequest, candidates: Sequence[str], first_token_only: bool, include_end_of_turn: bool
    ) -> ChoiceScores | Inconclusive:
        del first_token_only
        if self._prefill_is_in_prompt(request):
            samples = self._sample_generations(request, candidates, REPEATED_PREFILL_TOKENS)
            samples = [_skip_to_candidate(request, candidates, sample) for sample in samples]
            return score_by_samples(candidates, samples, include_end_of_turn=include_end_of_turn)
        common, rest = split_common_words(candidates)
        samples = self._sample_generations(_extend_prefill(request, common), rest, len(common.encode()))
        # A model that starts its reply over repeats the common words, and still names a candidate.
        samples = [replace(sample, text=strip_repeated_prefill(common, sample.text)) for sample in samples]
        return score_by_samples(rest, samples, include_end_of_turn=include_end_of_turn)

    def _sample_generations(
        self, request: EngineRequest, candidates: Sequence[str], extra_tokens: int = 0
    ) -> list[Generation]:
        # Every token has at least one byte; two more for a leading space and the end of the turn.
        max_new_tokens = max(len(candidate.encode()) for candidate in candidates) + 2 + extra_tokens
        return [
            self._generate_one(request, max_new_tokens, 1.0, (), 0, sample)
            for sample in range(self.settings.num_choice_samples)
        ]

    def _request(self, request: EngineRequest, fields: dict[str, Any]) -> ServerResponse:
        """The server's response; failed if the server cut the prompt."""
        probe_fields = {self.settings.max_tokens_field: 1, "temperature": 0.0}
        return self.prompt_counts.check(
            request, self._send(request, fields), lambda probe: self._send(probe, probe_fields)
        )

    def _send(self, request: EngineRequest, fields: dict[str, Any]) -> ServerResponse:
        settings = self.settings
        prompt = to_messages(request, settings.prefill) if settings.chat else {"prompt": to_text(request)}
        body = {"model": settings.model, **prompt, **fields, **settings.extra_body}
        path = "/chat/completions" if settings.chat else "/completions"
        return self.connection.request(path, {name: value for name, value in body.items() if value is not None})

    def _prefill_is_in_prompt(self, request: EngineRequest) -> bool:
        return self.settings.chat and self.settings.prefill == "unsupported" and request.prefill != ""


def _extend_prefill(request: EngineRequest, text: str) -> EngineRequest:
    return replace(request, prefill=request.prefill + text) if text else request


def _echo_failure(prompt: str, text: str, cost: Cost) -> Inconclusive:
    """An altered echo (the tokenizer normalizes this prompt) or an empty reply does not show that echo is unsupported."""
    if 2 * len(text) >= len(prompt):
        return Inconclusive("the server echoes this prompt in a different spelling", cost)
    return Inconclusive("the server does not echo prompts", cost, unsupported=text != "")


def _skip_to_candidate(request: EngineRequest, candidates: Sequence[str], sample: Generation) -> Generation:
    """The sample from the candidate on: it may repeat the last words of its prefill first."""
    if sample.text.strip().startswith(tuple(candidate.strip() for candidate in candidates)):
        return sample
    return replace(sample, text=strip_repeated_prefill(request.prefill, sample.text, by_word=True))


def _to_strategy_failure(response: ServerResponse) -> ChoiceScores | Inconclusive:
    """Inconclusive if the server rejected the strategy, so that another is tried; failed after any other error."""
    if response.unsupported:
        return Inconclusive(response.note, response.cost, unsupported=True)
    return ChoiceScores(probabilities=(), status="failed", note=response.note, cost=response.cost)


def _request_seed(request: EngineRequest, seed: int, sample: int) -> int:
    """A separate seed for each request and sample, so that the samples of different requests are independent."""
    turns = (part for message in request.prompt for part in (message.role, message.content))
    return int(text_hash(str(seed), str(sample), request.prefill, *turns)[:7], 16)
