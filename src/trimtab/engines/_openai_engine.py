"""Questions put to a server that speaks OpenAI's protocol, many at a time, answered in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.engines._in_order import in_order
from trimtab.engines._openai_answers import Position, choice_of, positions_of, reply_of
from trimtab.engines._openai_calls import Answer, Connection
from trimtab.engines._openai_turns import TURN, as_messages, as_text, rest_of
from trimtab.engines._openai_weighing import Untold, by_echo, by_first_token, by_samples, past_shared
from trimtab.errors import EngineError
from trimtab.types import Cost, Question, Reply, Weighing, text_hash, user

if TYPE_CHECKING:
    from trimtab.engines.openai import Openai

T = TypeVar("T")
Way = Callable[[Question, Sequence[str], bool, bool], Weighing | Untold]

# Tokens more for what a draw may repeat of its beginning's last lines.
REPEATED = 32
# A beginning that no model comes to by itself, let alone in one token.
PROBE = Question(prompt=user("Go on."), begins="Zq7-Xw3-Kv9")


@dataclass(slots=True)
class Repeats:
    """Whether the server gives the beginning of an answer back with the answer, as llama.cpp does in 2026.

    Not frozen: it is found out when it first matters, and shared by all threads.
    """

    known: bool | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


@dataclass(frozen=True, slots=True)
class Ways:
    """Ways of weighing, by name, that the server never goes, each with the reason, and those that it has gone.

    They are not asked for with every question again. A way that it has gone before is not given up for one refusal.
    """

    never: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def note(self, name: str, found: Weighing | Untold) -> None:
        if isinstance(found, Untold) and found.never and name not in self.gone:
            self.never[name] = found.why
        elif isinstance(found, Weighing) and found.status == "ok":
            self.gone.add(name)


@dataclass(frozen=True, slots=True)
class OpenaiEngine:
    """An open server. The answer to a question depends neither on the others nor on how many are asked at a time."""

    settings: Openai
    connection: Connection
    repeats: Repeats = field(default_factory=Repeats)
    ways: Ways = field(default_factory=Ways)

    def write(
        self,
        questions: Sequence[Question],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Reply]:
        return in_order(self.writing(questions, max_tokens=max_tokens, temperature=temperature, stop=stop, seed=seed))

    def writing(
        self,
        questions: Sequence[Question],
        *,
        known: Container[int] = (),
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Iterator[Mapping[int, Reply]]:
        """The server's draws come from the seed and the question; servers without seeds draw as they please."""
        return self._each(
            lambda place: self._write(questions[place], max_tokens, temperature, stop, seed), len(questions), known
        )

    def weigh(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[str]],
        *,
        first_token: bool = False,
        ended: bool = False,
    ) -> list[Weighing]:
        return in_order(self.weighing(questions, candidates, first_token=first_token, ended=ended))

    def weighing(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[str]],
        *,
        known: Container[int] = (),
        first_token: bool = False,
        ended: bool = False,
    ) -> Iterator[Mapping[int, Weighing]]:
        """The first way that can tell, as the settings say. What ends a turn is weighed by echoes and draws alone."""
        asked = list(zip(questions, candidates, strict=True))
        return self._each(lambda place: self._weigh(*asked[place], first_token, ended), len(asked), known)

    def _each(self, work: Callable[[int], T], count: int, known: Container[int]) -> Iterator[Mapping[int, T]]:
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

    def _write(
        self, question: Question, max_tokens: int, temperature: float, stop: Sequence[str], seed: int, draw: int = 0
    ) -> Reply:
        fields: dict[str, Any] = {self.settings.length: max_tokens, "temperature": temperature}
        if temperature > 0:
            fields |= {"top_p": 1.0, "seed": _seed(question, seed, draw)}
        marks = [*stop] if self.settings.chat else [*stop, TURN]
        answer = self._ask(question, {**fields, "stop": marks} if marks else fields)
        if answer.note:
            return Reply(text="", status="failed", note=answer.note, cost=answer.cost)
        return self._without_beginning(question, reply_of(answer.body, answer.cost))

    def _without_beginning(self, question: Question, reply: Reply) -> Reply:
        """A model may begin its answer twice by itself, so the server is asked whether it was the one to do so.

        Where the beginning was put in words, it was the model, against what it was told.
        """
        if self._told_in_words(question):
            return replace(reply, text=rest_of(question.begins, reply.text))
        written = next(
            (each for each in (question.begins, question.begins.rstrip()) if reply.text.startswith(each)), ""
        )
        if not written or not self.settings.chat:
            return reply
        with self.repeats.lock:
            if self.repeats.known is None:
                answer = self._ask(PROBE, {self.settings.length: 1, "temperature": 0.0})
                reply = replace(reply, cost=reply.cost + answer.cost)
                if answer.note:
                    note = f"whether the server repeats how the answer begins could not be found out: {answer.note}"
                    return replace(reply, text="", status="failed", note=note)
                self.repeats.known = reply_of(answer.body, answer.cost).text.startswith(PROBE.begins)
        return replace(reply, text=reply.text.removeprefix(written)) if self.repeats.known else reply

    def _weigh(self, question: Question, among: Sequence[str], first_token: bool, ended: bool) -> Weighing:
        if len({each.strip() for each in among}) < len(among) or not all(each.strip() for each in among):
            return Weighing(shares=(), status="failed", note=f"candidates must be texts that differ, got {list(among)}")
        why, spent = list[str](), Cost()
        for name, way in self._ways(first_token).items():
            if name in self.ways.never:
                why.append(self.ways.never[name])
                continue
            found = way(question, among, first_token, ended)
            self.ways.note(name, found)
            spent += found.cost
            if isinstance(found, Weighing):
                return replace(found, note="; ".join([found.note, *why]), cost=spent)
            why.append(found.why)
        return Weighing(shares=(), status="failed", note="; ".join(why), cost=spent)

    def _ways(self, first_token: bool) -> dict[str, Way]:
        echo: dict[str, Way] = {} if self.settings.chat or first_token else {"echo": self._by_echo}
        told: dict[str, Way] = {**echo, "first token": self._by_first_token}
        return {
            **(told if self.settings.logprobs is not False else {}),
            **({"draws": self._by_samples} if self.settings.logprobs is not True else {}),
        }

    def _by_first_token(
        self, question: Question, among: Sequence[str], first_token: bool, ended: bool
    ) -> Weighing | Untold:
        if self._told_in_words(question):
            return Untold("with prefill: none an answer's first token may be of its beginning, and tells nothing")
        shared, rest = ("", among) if first_token else past_shared(among)
        count = self.settings.likeliest
        wanted = {"logprobs": True, "top_logprobs": count} if self.settings.chat else {"logprobs": count}
        # at temperature 1 servers agree on what a log-probability is, whether or not they scale it
        answer = self._ask(_begun(question, shared), {self.settings.length: 1, "temperature": 1.0, **wanted})
        if answer.note:
            return _unanswered(answer)
        positions = positions_of(choice_of(answer.body))
        if not positions or not positions[0].top:
            # where nothing was written there is no token to tell the log-probability of
            written = reply_of(answer.body, answer.cost).text
            return Untold("the server gives no log-probabilities", answer.cost, never=written != "")
        found = by_first_token(rest, positions[0], first_token=first_token, ended=ended)
        if isinstance(found, Weighing) and shared:
            # of what follows the shared words, not of whole candidates
            found = replace(found, logprobs=None, tokens=None, note=f"{found.note}; after {shared!r}")
        return replace(found, cost=answer.cost)

    def _by_echo(self, question: Question, among: Sequence[str], first_token: bool, ended: bool) -> Weighing | Untold:
        del first_token
        ends, spent, echoed = [each + TURN * ended for each in among], Cost(), list[list[Position]]()
        for end in ends:
            text = as_text(question) + end
            # a token is written and passed over, since not every server takes a limit of 0
            answer = self._ask(question, {"prompt": text, "echo": True, "logprobs": 1, self.settings.length: 1})
            spent += answer.cost
            if answer.note:
                return replace(_unanswered(answer), cost=spent)
            choice = choice_of(answer.body)
            if not str(choice.get("text")).startswith(text):
                return _not_echoed(text, reply_of(answer.body, answer.cost).text, spent)
            echoed.append(positions_of(choice)[:-1])
        return replace(by_echo(ends, echoed), cost=spent)

    def _by_samples(
        self, question: Question, among: Sequence[str], first_token: bool, ended: bool
    ) -> Weighing | Untold:
        del first_token
        if self._told_in_words(question):
            drawn = [_named(question, among, each) for each in self._drawn(question, among, REPEATED)]
            return by_samples(among, drawn, ended=ended)
        shared, rest = past_shared(among)
        drawn = self._drawn(_begun(question, shared), rest, len(shared.encode()))
        # a model that begins anew says the shared words again, and names a candidate all the same
        return by_samples(rest, [replace(each, text=rest_of(shared, each.text)) for each in drawn], ended=ended)

    def _drawn(self, question: Question, among: Sequence[str], more: int = 0) -> list[Reply]:
        # no token is shorter than a byte; two more for a space in front and the end
        longest = max(len(each.encode()) for each in among) + 2 + more
        return [self._write(question, longest, 1.0, (), 0, draw) for draw in range(self.settings.samples)]

    def _ask(self, question: Question, fields: dict[str, Any]) -> Answer:
        settings = self.settings
        asked = as_messages(question, settings.prefill) if settings.chat else {"prompt": as_text(question)}
        body = {"model": settings.model, **asked, **fields, **settings.extra}
        path = "/chat/completions" if settings.chat else "/completions"
        return self.connection.ask(path, {name: value for name, value in body.items() if value is not None})

    def _told_in_words(self, question: Question) -> bool:
        return self.settings.chat and self.settings.prefill == "none" and question.begins != ""


def _begun(question: Question, more: str) -> Question:
    return replace(question, begins=question.begins + more) if more else question


def _not_echoed(prompt: str, came: str, spent: Cost) -> Untold:
    """A tokenizer may spell this prompt in other letters, and a model may write nothing: neither tells of the server."""
    if 2 * len(came) >= len(prompt):
        return Untold("the server echoes this prompt in other letters", spent)
    return Untold("the server echoes no prompts", spent, never=came != "")


def _named(question: Question, among: Sequence[str], drawn: Reply) -> Reply:
    """The draw from where it names a candidate on: it may repeat some last words of its beginning first."""
    if drawn.text.strip().startswith(tuple(each.strip() for each in among)):
        return drawn
    return replace(drawn, text=rest_of(question.begins, drawn.text, words=True))


def _unanswered(answer: Answer) -> Weighing | Untold:
    """A way that was refused may be gone round; what failed would be another answer if it were asked again."""
    if answer.refused:
        return Untold(answer.note, answer.cost, never=True)
    return Weighing(shares=(), status="failed", note=answer.note, cost=answer.cost)


def _seed(question: Question, seed: int, draw: int) -> int:
    """A seed of its own for every question, so that draws of different questions have nothing in common."""
    turns = (part for each in question.prompt for part in (each.role, each.content))
    return int(text_hash(str(seed), str(draw), question.begins, *turns)[:7], 16)
