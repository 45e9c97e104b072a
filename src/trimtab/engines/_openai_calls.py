"""Requests to a server that speaks OpenAI's protocol: what it answered, or what went wrong in words without the key."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from trimtab.engines._openai_answers import cost_of
from trimtab.errors import EngineError
from trimtab.types import Cost

if TYPE_CHECKING:
    from trimtab.engines.openai import Openai

# What no other question can mend: the key, the bill, the model or the address, and a server that has moved.
HOPELESS = frozenset({301, 302, 307, 308, 401, 402, 403, 404})
# The server understood and will not: another way of asking may do.
REFUSED = frozenset({400, 422})
# Seconds to wait for a server to take the connection, however long its answers may take.
CONNECT = 10.0
SHOWN = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's JSON, empty where `note` says what went wrong; `refused` where it would not do what it was asked."""

    body: Mapping[str, Any]
    cost: Cost
    note: str = ""
    refused: bool = False


@dataclass(slots=True)
class Pace:
    """Lets calls through so that each begins at least 60 / `per_minute` seconds after the one before; None lets all through.

    Not frozen: when the next may begin is shared by all threads.
    """

    per_minute: float | None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    free_at: float = field(default=float("-inf"), init=False)
    lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def wait(self) -> None:
        if self.per_minute is None:
            return
        with self.lock:
            now = self.clock()
            turn = max(now, self.free_at)
            self.free_at = turn + 60 / self.per_minute
        if turn > now:
            self.sleep(turn - now)


@dataclass(frozen=True, slots=True)
class _Trouble:
    status: int | None
    note: str
    hopeless: bool


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Connection:
    """A server that can be asked from many threads. Neither it nor anything that it says shows the key."""

    place: str
    model: str
    timeout: float
    tries: int
    client: openai.OpenAI = field(repr=False)
    key: str = field(repr=False)

    def greet(self) -> None:
        """Raises `EngineError` where nobody answers or the key is turned away. A server without a list of models will do."""
        found = self._sent(lambda: self.client.get("/models", cast_to=httpx2.Response))
        if isinstance(found, _Trouble) and found.hopeless and found.status != 404:
            raise EngineError(found.note)

    def ask(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Raises `EngineError` where no question can be answered: nobody there, the key or the model not known."""
        start = time.monotonic()
        found = self._sent(lambda: self.client.post(path, cast_to=httpx2.Response, body=dict(body)))
        spent = Cost(seconds=time.monotonic() - start, calls=1)
        if isinstance(found, _Trouble):
            if found.hopeless:
                raise EngineError(found.note)
            return Answer({}, spent, found.note, refused=found.status in REFUSED)
        decoded = _decoded(found)
        if isinstance(decoded, str):
            return Answer({}, spent, self._without_key(decoded)[:SHOWN])
        return Answer(decoded, spent + cost_of(decoded))

    def _sent(self, send: Callable[[], httpx2.Response]) -> httpx2.Response | _Trouble:
        """Trouble is a value, so that an error raised from it has no error behind it that could show the key."""
        try:
            return send()
        except openai.APIStatusError as error:
            return self._status(error)
        except openai.APIConnectionError as error:
            return self._lost(error)

    def _status(self, error: openai.APIStatusError) -> _Trouble:
        status, said = error.status_code, self._without_key(_said(error.body))[:SHOWN]
        hopeless = status in HOPELESS or error.code == "insufficient_quota"
        hint = {
            401: "; the key is taken from the environment variable that api_key_env names",
            404: f"; is {self.model!r} the server's name for the model, and does base_url end as it should, mostly in /v1?",
        }.get(status, "")
        tries = f", asked up to {self.tries} times" if status in (408, 409, 429) or status >= 500 else ""
        return _Trouble(status, f"{self.place} answered {status}{tries}: {said}{hint}", hopeless)

    def _lost(self, error: openai.APIConnectionError) -> _Trouble:
        cause = error.__cause__
        why = self._without_key(f"{type(cause).__name__}: {cause}")[:SHOWN]
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            note = f"no server answers at {self.place} ({why}): start it, or correct base_url"
            return _Trouble(None, note, hopeless=True)
        if isinstance(error, openai.APITimeoutError):
            note = f"{self.place} gave no answer within {self.timeout:g} s, asked up to {self.tries} times"
            return _Trouble(None, note, hopeless=False)
        note = f"the answer of {self.place} was cut off, asked up to {self.tries} times ({why})"
        return _Trouble(None, note, hopeless=False)

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text


def connect(settings: Openai, key: str, pace: Pace) -> Connection:
    """Nothing is sent yet. Every try of every request waits for the pace."""
    http = openai.DefaultHttpxClient(
        event_hooks={"request": [lambda request: pace.wait()]},
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
    connection = Connection(settings.place, settings.model, settings.timeout, settings.retries + 1, client, key)
    weakref.finalize(connection, http.close)
    return connection


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
