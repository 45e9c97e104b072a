"""Requests to a server that speaks OpenAI's protocol: what it answered, or what went wrong in words without the key."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from trimtab.engines._openai_answers import cost_of
from trimtab.engines._openai_pace import Meter, Pace, tried_again
from trimtab.errors import EngineError
from trimtab.types import Cost

if TYPE_CHECKING:
    from trimtab.engines.openai import Openai

# What no other question can mend: the key, the bill, and a server that has moved.
HOPELESS = frozenset({301, 302, 307, 308, 401, 402})
# The code of a 429 by which an account has run dry, and nothing is gained by waiting.
TOO_MANY, DRY = 429, "insufficient_quota"
# What may be said of the key, the model and the address, or of this question alone (moderation, a way of asking).
DOUBTFUL = frozenset({403, 404})
# A refusal of a way of weighing: what else is refused would be refused in any other way.
OF_THE_WAY = re.compile(r"logprob|echo|requested parameters", re.IGNORECASE)
REFUSED = frozenset({400, 404, 422})
# A refusal of how it is told the beginning of an answer.
PREFILL = re.compile(r"continue_final_message|add_generation_prompt|prefix|prefill", re.IGNORECASE)
# What is asked to find out whether any question is answered, and what of the request that was not is left out of it.
HARMLESS = "Say hello."
OF_THE_QUESTION = frozenset(
    {"messages", "prompt", "stop", "seed", "logprobs", "top_logprobs", "echo", "continue_final_message"}
    | {"add_generation_prompt"}
)
# Tries of the first request: an address that is wrong is told without delay.
GREETINGS = 3
# Seconds to wait for a server to take the connection, however long its answers may take.
CONNECT = 10.0
SHOWN = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's JSON, empty where `note` says what went wrong; `refused` where the server does not weigh in this way."""

    body: Mapping[str, Any]
    cost: Cost
    note: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class _Trouble:
    status: int | None
    note: str
    hopeless: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Connection:
    """A server that can be asked from many threads. Neither it nor anything that it says shows the key."""

    place: str
    model: str
    timeout: float
    tries: int
    client: openai.OpenAI = field(repr=False)
    key: str = field(repr=False)
    pace: Pace = field(repr=False)
    meter: Meter = field(repr=False)
    answered: threading.Event = field(default_factory=threading.Event, repr=False)
    trying: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def greet(self) -> None:
        """Raises `EngineError` where nobody answers, the server has moved, or the key is not known.

        A server without a list of models will do, and so will a key that may not read it.
        """
        options: Any = {"max_retries": min(self.tries, GREETINGS) - 1}
        found, _ = self._sent(lambda: self.client.get("/models", cast_to=httpx2.Response, options=options))
        if isinstance(found, _Trouble) and found.hopeless:
            raise EngineError(found.note)

    def ask(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Raises `EngineError` where no question can be answered: nobody there, the key or the model not known."""
        found, spent = self._posted(path, body)
        if isinstance(found, _Trouble):
            if found.status in DOUBTFUL and not found.refused:
                spent += self._any_answer(path, body, found)
            if found.hopeless:
                raise EngineError(found.note)
            return Answer({}, spent, found.note, refused=found.refused)
        decoded = _decoded(found)
        if isinstance(decoded, str):
            return Answer({}, spent, self._without_key(decoded)[:SHOWN])
        self.answered.set()
        taken = cost_of(decoded)
        self.pace.spent(taken.prompt_tokens + taken.reused_tokens + taken.generated_tokens)
        return Answer(decoded, spent + taken)

    def _any_answer(self, path: str, body: Mapping[str, Any], trouble: _Trouble) -> Cost:
        """What it took to know that the server answers others. Raises `EngineError` where it does not."""
        with self.trying:
            if self.answered.is_set():
                return Cost()
            chat = "messages" in body
            asked = {"messages": [{"role": "user", "content": HARMLESS}]} if chat else {"prompt": HARMLESS}
            same = {name: value for name, value in body.items() if name not in OF_THE_QUESTION}
            found, spent = self._posted(path, {**same, **asked})
            if isinstance(found, _Trouble) or isinstance(_decoded(found), str):
                raise EngineError(trouble.note)
            self.answered.set()
            return spent

    def _posted(self, path: str, body: Mapping[str, Any]) -> tuple[httpx2.Response | _Trouble, Cost]:
        found, seconds = self._sent(lambda: self.client.post(path, cast_to=httpx2.Response, body=dict(body)))
        return found, Cost(seconds=seconds, calls=1)

    def _sent(self, send: Callable[[], httpx2.Response]) -> tuple[httpx2.Response | _Trouble, float]:
        """The response and the seconds that it took. Trouble is a value, so that an error raised from it has no error behind
        it that could show the key."""
        self.meter.begin()
        found: httpx2.Response | _Trouble
        try:
            found = send()
        except openai.APIStatusError as error:
            found = self._status(error)
        except openai.APIConnectionError as error:
            found = self._lost(error)
        finally:
            seconds = self.meter.end()
        return found, seconds

    def _status(self, error: openai.APIStatusError) -> _Trouble:
        status, said = error.status_code, self._without_key(_said(error.body))
        hint = {
            401: "; the key is taken from the environment variable that api_key_env names",
            404: f"; is {self.model!r} the server's name for the model, and does base_url end as it should, mostly in /v1?",
        }.get(status, "")
        refused = status in REFUSED and OF_THE_WAY.search(said) is not None
        if status in REFUSED and not refused and PREFILL.search(said):
            hint = "; prefill says how the server is told the beginning of an answer"
        hopeless = status in HOPELESS or error.code == DRY
        tries = f", asked up to {self.tries} times" if tried_again(status) and not hopeless else ""
        return _Trouble(
            status,
            f"{self.place} answered {status}{tries}: {said[:SHOWN]}{hint}",
            hopeless=hopeless,
            refused=refused,
        )

    def _lost(self, error: openai.APIConnectionError) -> _Trouble:
        cause = error.__cause__
        why = self._without_key(f"{type(cause).__name__}: {cause}")[:SHOWN]
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            note = f"no server answers at {self.place} ({why}): start it, or correct base_url"
            return _Trouble(None, note, hopeless=True)
        if isinstance(error, openai.APITimeoutError):
            note = f"{self.place} gave no answer within {self.timeout:g} s, asked up to {self.tries} times"
            return _Trouble(None, note)
        note = f"the answer of {self.place} was cut off, asked up to {self.tries} times ({why})"
        return _Trouble(None, note)

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text


def connect(settings: Openai, key: str, pace: Pace) -> Connection:
    """Nothing is sent yet. Every try of every request waits for the pace, and every answer tells it how busy the server is."""
    meter = Meter()
    http = openai.DefaultHttpxClient(
        event_hooks={
            "request": [lambda request: meter.wait(pace.wait)],
            "response": [lambda response: _heard(response, pace, meter)],
        },
        limits=httpx2.Limits(max_connections=settings.concurrency),
        # a key must not travel to wherever a server points
        follow_redirects=False,
    )
    client = openai.OpenAI(
        base_url=settings.base_url,
        api_key=key or "none",
        # said outright, since the package would let variables of its own come before it
        default_headers={"Authorization": f"Bearer {key or 'none'}"},
        timeout=httpx2.Timeout(settings.timeout, connect=min(settings.timeout, CONNECT)),
        max_retries=settings.retries,
        http_client=http,
    )
    tries = settings.retries + 1
    connection = Connection(settings.place, settings.model, settings.timeout, tries, client, key, pace, meter)
    weakref.finalize(connection, http.close)
    return connection


def _heard(response: httpx2.Response, pace: Pace, meter: Meter) -> None:
    if _has_run_dry(response):
        response.headers["x-should-retry"] = "false"  # the package goes by it
        return
    pace.heard(response.status_code, response.headers)
    if tried_again(response.status_code):
        # the package waits before the next try
        meter.rest()


def _has_run_dry(response: httpx2.Response) -> bool:
    if response.status_code != TOO_MANY:
        return False
    response.read()
    try:
        body = response.json()
    except ValueError:
        return False
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and error.get("code") == DRY


def _decoded(response: httpx2.Response) -> dict[str, Any] | str:
    """The answer's JSON, or what is wrong with it."""
    try:
        body = response.json()
    except ValueError as error:
        return f"malformed JSON ({error}): {response.text}"
    if not isinstance(body, dict):
        return f"expected a JSON object, got {response.text}"
    if body.get("error"):
        return f"an error instead of an answer: {_said(body['error'])}"
    return body


def _said(body: object) -> str:
    """The server's own words, wherever it puts them."""
    if isinstance(body, Mapping):
        return str(next((body[name] for name in ("message", "detail", "error") if body.get(name)), dict(body)))
    return str(body or "no reason given")
