"""Questions put to a server that speaks OpenAI's protocol, many at a time, answered in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.engines._shared.in_order import collect_in_order
from trimtab.engines.openai.choice_scoring import (
    Inconclusive,
    score_by_echo,
    score_by_first_token,
    score_by_samples,
    split_common_words,
)
from trimtab.engines.openai.client import Connection, ServerResponse
from trimtab.engines.openai.messages import TURN_END, strip_repeated_prefill, to_messages, to_text
from trimtab.engines.openai.responses import TokenLogprob, parse_choice, parse_generation, parse_token_logprobs
from trimtab.errors import EngineError
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation, build_user_prompt, text_hash

if TYPE_CHECKING:
    from trimtab.engines.openai import Openai

T = TypeVar("T")
Strategy = Callable[[EngineRequest, Sequence[str], bool, bool], ChoiceScores | Inconclusive]

# Tokens more for what a draw may repeat of its beginning's last lines.
REPEATED_PREFILL_TOKENS = 32
# A beginning that no model comes to by itself, let alone in one token.
PREFILL_PROBE = EngineRequest(prompt=build_user_prompt("Go on."), prefill="Zq7-Xw3-Kv9")


@dataclass(slots=True)
class PrefillEcho:
    """Whether the server gives the beginning of an answer back with the answer, as llama.cpp does in 2026.

    Not frozen: it is found out when it first matters, and shared by all threads.
    """

    detected: bool | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


@dataclass(frozen=True, slots=True)
class StrategyRecord:
    """Ways of weighing, by name, that the server never goes, each with the reason, and those that it has gone.

    They are not asked for with every question again. A way that it has gone before is not given up for one refusal.
    """

    unsupported: dict[str, str] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)

    def record(self, name: str, found: ChoiceScores | Inconclusive) -> None:
        if isinstance(found, Inconclusive) and found.unsupported and name not in self.succeeded:
            self.unsupported[name] = found.reason
        elif isinstance(found, ChoiceScores) and found.status == "ok":
            self.succeeded.add(name)


@dataclass(frozen=True, slots=True)
class OpenaiEngine:
    """An open server. The answer to a question depends neither on the others nor on how many are asked at a time."""

    settings: Openai
    connection: Connection
    prefill_echo: PrefillEcho = field(default_factory=PrefillEcho)
    strategies: StrategyRecord = field(default_factory=StrategyRecord)

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
        """The server's draws come from the seed and the question; servers without seeds draw as they please."""
        return self._run_requests(
            lambda place: self._generate_one(requests[place], max_new_tokens, temperature, stop, seed),
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
        """The first way that can tell, as the settings say. What ends a turn is weighed by echoes and draws alone."""
        asked = list(zip(requests, candidates, strict=True))
        return self._run_requests(
            lambda place: self._score_one(*asked[place], first_token_only, include_end_of_turn), len(asked), skip
        )

    def _run_requests(self, work: Callable[[int], T], count: int, known: Container[int]) -> Iterator[Mapping[int, T]]:
        """Each answer when it comes; after an error those that are under way too, since they are paid for."""
        with ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="trimtab-openai") as pool:
            waiting = {pool.submit(work, place): place for place in range(count) if place not in known}
            failed: EngineError | None = None
            try:
                for done in as_completed(waiting):
                    if done.cancelled():
                        continue
                    try:
                        found = done.result()
                    except EngineError as error:
                        failed = failed or error
                        for each in waiting:
                            each.cancel()
                        continue
                    yield {waiting[done]: found}
                if failed is not None:
                    raise failed
            finally:
                # after an error, questions that wait are not asked any more
                pool.shutdown(wait=False, cancel_futures=True)

    def _generate_one(
        self,
        question: EngineRequest,
        max_tokens: int,
        temperature: float,
        stop: Sequence[str],
        seed: int,
        draw: int = 0,
    ) -> Generation:
        fields: dict[str, Any] = {self.settings.max_tokens_field: max_tokens, "temperature": temperature}
        if temperature > 0:
            fields |= {"top_p": 1.0, "seed": _request_seed(question, seed, draw)}
        marks = [*stop] if self.settings.chat else [*stop, TURN_END]
        answer = self._request(question, {**fields, "stop": marks} if marks else fields)
        if answer.note:
            return Generation(text="", status="failed", note=answer.note, cost=answer.cost)
        return self._strip_prefill(question, parse_generation(answer.body, answer.cost))

    def _strip_prefill(self, question: EngineRequest, reply: Generation) -> Generation:
        """A model may begin its answer twice by itself, so the server is asked whether it was the one to do so.

        Where the beginning was put in words, it was the model, against what it was told.
        """
        if self._prefill_is_in_prompt(question):
            return replace(reply, text=strip_repeated_prefill(question.prefill, reply.text))
        written = next(
            (each for each in (question.prefill, question.prefill.rstrip()) if reply.text.startswith(each)), ""
        )
        if not written or not self.settings.chat:
            return reply
        with self.prefill_echo.lock:
            if self.prefill_echo.detected is None:
                answer = self._request(PREFILL_PROBE, {self.settings.max_tokens_field: 1, "temperature": 0.0})
                reply = replace(reply, cost=reply.cost + answer.cost)
                if answer.note:
                    note = f"whether the server repeats how the answer begins could not be found out: {answer.note}"
                    return replace(reply, text="", status="failed", note=note)
                self.prefill_echo.detected = parse_generation(answer.body, answer.cost).text.startswith(
                    PREFILL_PROBE.prefill
                )
        return replace(reply, text=reply.text.removeprefix(written)) if self.prefill_echo.detected else reply

    def _score_one(self, question: EngineRequest, among: Sequence[str], first_token: bool, ended: bool) -> ChoiceScores:
        if len({each.strip() for each in among}) < len(among) or not all(each.strip() for each in among):
            return ChoiceScores(
                probabilities=(), status="failed", note=f"candidates must be texts that differ, got {list(among)}"
            )
        why, spent = list[str](), Cost()
        for name, way in self._select_strategies(first_token).items():
            if name in self.strategies.unsupported:
                why.append(self.strategies.unsupported[name])
                continue
            found = way(question, among, first_token, ended)
            self.strategies.record(name, found)
            spent += found.cost
            if isinstance(found, ChoiceScores):
                return replace(found, note="; ".join([found.note, *why]), cost=spent)
            why.append(found.reason)
        return ChoiceScores(probabilities=(), status="failed", note="; ".join(why), cost=spent)

    def _select_strategies(self, first_token: bool) -> dict[str, Strategy]:
        echo: dict[str, Strategy] = {} if self.settings.chat or first_token else {"echo": self._score_by_echo}
        told: dict[str, Strategy] = {**echo, "first token": self._score_by_first_token}
        return {
            **(told if self.settings.logprobs is not False else {}),
            **({"draws": self._score_by_samples} if self.settings.logprobs is not True else {}),
        }

    def _score_by_first_token(
        self, question: EngineRequest, among: Sequence[str], first_token: bool, ended: bool
    ) -> ChoiceScores | Inconclusive:
        if self._prefill_is_in_prompt(question):
            return Inconclusive("with prefill: none an answer's first token may be of its beginning, and tells nothing")
        shared, rest = ("", among) if first_token else split_common_words(among)
        count = self.settings.top_logprob_count
        wanted = {"logprobs": True, "top_logprobs": count} if self.settings.chat else {"logprobs": count}
        # at temperature 1 servers agree on what a log-probability is, whether or not they scale it
        answer = self._request(
            _extend_prefill(question, shared), {self.settings.max_tokens_field: 1, "temperature": 1.0, **wanted}
        )
        if answer.note:
            return _to_strategy_failure(answer)
        positions = parse_token_logprobs(parse_choice(answer.body))
        if not positions or not positions[0].top_logprobs:
            # where nothing was written there is no token to tell the log-probability of
            written = parse_generation(answer.body, answer.cost).text
            return Inconclusive("the server gives no log-probabilities", answer.cost, unsupported=written != "")
        found = score_by_first_token(rest, positions[0], first_token=first_token, ended=ended)
        if isinstance(found, ChoiceScores) and shared:
            # of what follows the shared words, not of whole candidates
            found = replace(found, logprobs=None, tokens=None, note=f"{found.note}; after {shared!r}")
        return replace(found, cost=answer.cost)

    def _score_by_echo(
        self, question: EngineRequest, among: Sequence[str], first_token: bool, ended: bool
    ) -> ChoiceScores | Inconclusive:
        del first_token
        ends, spent, echoed = [each + TURN_END * ended for each in among], Cost(), list[list[TokenLogprob]]()
        for end in ends:
            text = to_text(question) + end
            # a token is written and passed over, since not every server takes a limit of 0
            answer = self._request(
                question, {"prompt": text, "echo": True, "logprobs": 1, self.settings.max_tokens_field: 1}
            )
            spent += answer.cost
            if answer.note:
                return replace(_to_strategy_failure(answer), cost=spent)
            choice = parse_choice(answer.body)
            if not str(choice.get("text")).startswith(text):
                return _echo_failure(text, parse_generation(answer.body, answer.cost).text, spent)
            echoed.append(parse_token_logprobs(choice)[:-1])
        return replace(score_by_echo(ends, echoed), cost=spent)

    def _score_by_samples(
        self, question: EngineRequest, among: Sequence[str], first_token: bool, ended: bool
    ) -> ChoiceScores | Inconclusive:
        del first_token
        if self._prefill_is_in_prompt(question):
            drawn = [
                _skip_to_candidate(question, among, each)
                for each in self._sample_generations(question, among, REPEATED_PREFILL_TOKENS)
            ]
            return score_by_samples(among, drawn, ended=ended)
        shared, rest = split_common_words(among)
        drawn = self._sample_generations(_extend_prefill(question, shared), rest, len(shared.encode()))
        # a model that begins anew says the shared words again, and names a candidate all the same
        return score_by_samples(
            rest, [replace(each, text=strip_repeated_prefill(shared, each.text)) for each in drawn], ended=ended
        )

    def _sample_generations(self, question: EngineRequest, among: Sequence[str], more: int = 0) -> list[Generation]:
        # no token is shorter than a byte; two more for a space in front and the end
        longest = max(len(each.encode()) for each in among) + 2 + more
        return [
            self._generate_one(question, longest, 1.0, (), 0, draw) for draw in range(self.settings.num_choice_samples)
        ]

    def _request(self, question: EngineRequest, fields: dict[str, Any]) -> ServerResponse:
        settings = self.settings
        asked = to_messages(question, settings.prefill) if settings.chat else {"prompt": to_text(question)}
        body = {"model": settings.model, **asked, **fields, **settings.extra_body}
        path = "/chat/completions" if settings.chat else "/completions"
        return self.connection.request(path, {name: value for name, value in body.items() if value is not None})

    def _prefill_is_in_prompt(self, question: EngineRequest) -> bool:
        return self.settings.chat and self.settings.prefill == "none" and question.prefill != ""


def _extend_prefill(question: EngineRequest, more: str) -> EngineRequest:
    return replace(question, prefill=question.prefill + more) if more else question


def _echo_failure(prompt: str, came: str, spent: Cost) -> Inconclusive:
    """A tokenizer may spell this prompt in other letters, and a model may write nothing: neither tells of the server."""
    if 2 * len(came) >= len(prompt):
        return Inconclusive("the server echoes this prompt in other letters", spent)
    return Inconclusive("the server echoes no prompts", spent, unsupported=came != "")


def _skip_to_candidate(question: EngineRequest, among: Sequence[str], drawn: Generation) -> Generation:
    """The draw from where it names a candidate on: it may repeat some last words of its beginning first."""
    if drawn.text.strip().startswith(tuple(each.strip() for each in among)):
        return drawn
    return replace(drawn, text=strip_repeated_prefill(question.prefill, drawn.text, by_word=True))


def _to_strategy_failure(answer: ServerResponse) -> ChoiceScores | Inconclusive:
    """A way that was refused may be gone round; what failed would be another answer if it were asked again."""
    if answer.unsupported:
        return Inconclusive(answer.note, answer.cost, unsupported=True)
    return ChoiceScores(probabilities=(), status="failed", note=answer.note, cost=answer.cost)


def _request_seed(question: EngineRequest, seed: int, draw: int) -> int:
    """A seed of its own for every question, so that draws of different questions have nothing in common."""
    turns = (part for each in question.prompt for part in (each.role, each.content))
    return int(text_hash(str(seed), str(draw), question.prefill, *turns)[:7], 16)
