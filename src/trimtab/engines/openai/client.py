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

from trimtab.engines.openai.rate_limit import RateLimiter, RequestTimer, is_retried
from trimtab.engines.openai.responses import parse_cost
from trimtab.errors import EngineError
from trimtab.types import Cost

if TYPE_CHECKING:
    from trimtab.engines.openai import Openai

# What no other question can mend: the key, the bill, and a server that has moved.
FATAL_STATUSES = frozenset({301, 302, 307, 308, 401, 402})
# The code of a 429 by which an account has run dry, and nothing is gained by waiting.
TOO_MANY_REQUESTS, QUOTA_EXHAUSTED = 429, "insufficient_quota"
# What may be said of the key, the model and the address, or of this question alone (moderation, a way of asking).
AMBIGUOUS_STATUSES = frozenset({403, 404})
# A refusal of a way of weighing: what else is refused would be refused in any other way.
UNSUPPORTED_STRATEGY = re.compile(r"logprob|echo|requested parameters", re.IGNORECASE)
REJECTED_STATUSES = frozenset({400, 404, 422})
# A refusal of how it is told the beginning of an answer.
PREFILL_ERROR = re.compile(r"continue_final_message|add_generation_prompt|prefix|prefill", re.IGNORECASE)
# What is asked to find out whether any question is answered, and what of the request that was not is left out of it.
PROBE_PROMPT = "Say hello."
REQUEST_SPECIFIC_FIELDS = frozenset(
    {"messages", "prompt", "stop", "seed", "logprobs", "top_logprobs", "echo", "continue_final_message"}
    | {"add_generation_prompt"}
)
# Tries of the first request: an address that is wrong is told without delay.
CONNECTION_CHECK_ATTEMPTS = 3
# Seconds to wait for a server to take the connection, however long its answers may take.
CONNECT_TIMEOUT = 10.0
MAX_ERROR_LENGTH = 300


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """The server's JSON, empty where `note` says what went wrong; `refused` where the server does not weigh in this way."""

    body: Mapping[str, Any]
    cost: Cost
    note: str = ""
    unsupported: bool = False


@dataclass(frozen=True, slots=True)
class _RequestFailure:
    status: int | None
    note: str
    fatal: bool = False
    unsupported: bool = False


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Connection:
    """A server that can be asked from many threads. Neither it nor anything that it says shows the key."""

    address: str
    model: str
    timeout: float
    max_attempts: int
    client: openai.OpenAI = field(repr=False)
    key: str = field(repr=False)
    rate_limiter: RateLimiter = field(repr=False)
    timer: RequestTimer = field(repr=False)
    has_answered: threading.Event = field(default_factory=threading.Event, repr=False)
    probe_lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def check_connection(self) -> None:
        """Raises `EngineError` where nobody answers, the server has moved, or the key is not known.

        A server without a list of models will do, and so will a key that may not read it.
        """
        options: Any = {"max_retries": min(self.max_attempts, CONNECTION_CHECK_ATTEMPTS) - 1}
        found, _ = self._send(lambda: self.client.get("/models", cast_to=httpx2.Response, options=options))
        if isinstance(found, _RequestFailure) and found.fatal:
            raise EngineError(found.note)

    def request(self, path: str, body: Mapping[str, Any]) -> ServerResponse:
        """Raises `EngineError` where no question can be answered: nobody there, the key or the model not known."""
        found, spent = self._post(path, body)
        if isinstance(found, _RequestFailure):
            if found.status in AMBIGUOUS_STATUSES and not found.unsupported:
                spent += self._probe_server(path, body, found)
            if found.fatal:
                raise EngineError(found.note)
            return ServerResponse({}, spent, found.note, unsupported=found.unsupported)
        decoded = _decode_json(found)
        if isinstance(decoded, str):
            return ServerResponse({}, spent, self._redact_key(decoded)[:MAX_ERROR_LENGTH])
        self.has_answered.set()
        taken = parse_cost(decoded)
        self.rate_limiter.record_tokens(taken.prompt_tokens + taken.cached_tokens + taken.generated_tokens)
        return ServerResponse(decoded, spent + taken)

    def _probe_server(self, path: str, body: Mapping[str, Any], trouble: _RequestFailure) -> Cost:
        """What it took to know that the server answers others. Raises `EngineError` where it does not."""
        with self.probe_lock:
            if self.has_answered.is_set():
                return Cost()
            chat = "messages" in body
            asked = {"messages": [{"role": "user", "content": PROBE_PROMPT}]} if chat else {"prompt": PROBE_PROMPT}
            same = {name: value for name, value in body.items() if name not in REQUEST_SPECIFIC_FIELDS}
            found, spent = self._post(path, {**same, **asked})
            if isinstance(found, _RequestFailure) or isinstance(_decode_json(found), str):
                raise EngineError(trouble.note)
            self.has_answered.set()
            return spent

    def _post(self, path: str, body: Mapping[str, Any]) -> tuple[httpx2.Response | _RequestFailure, Cost]:
        found, seconds = self._send(lambda: self.client.post(path, cast_to=httpx2.Response, body=dict(body)))
        return found, Cost(seconds=seconds, calls=1)

    def _send(self, send: Callable[[], httpx2.Response]) -> tuple[httpx2.Response | _RequestFailure, float]:
        """The response and the seconds that it took. Trouble is a value, so that an error raised from it has no error behind
        it that could show the key."""
        self.timer.start()
        found: httpx2.Response | _RequestFailure
        try:
            found = send()
        except openai.APIStatusError as error:
            found = self._status_failure(error)
        except openai.APIConnectionError as error:
            found = self._connection_failure(error)
        finally:
            seconds = self.timer.stop()
        return found, seconds

    def _status_failure(self, error: openai.APIStatusError) -> _RequestFailure:
        status, said = error.status_code, self._redact_key(_error_message(error.body))
        hint = {
            401: "; the key is taken from the environment variable that api_key_env names",
            404: f"; is {self.model!r} the server's name for the model, and does base_url end as it should, mostly in /v1?",
        }.get(status, "")
        refused = status in REJECTED_STATUSES and UNSUPPORTED_STRATEGY.search(said) is not None
        if status in REJECTED_STATUSES and not refused and PREFILL_ERROR.search(said):
            hint = "; prefill says how the server is told the beginning of an answer"
        hopeless = status in FATAL_STATUSES or error.code == QUOTA_EXHAUSTED
        tries = f", asked up to {self.max_attempts} times" if is_retried(status) and not hopeless else ""
        return _RequestFailure(
            status,
            f"{self.address} answered {status}{tries}: {said[:MAX_ERROR_LENGTH]}{hint}",
            fatal=hopeless,
            unsupported=refused,
        )

    def _connection_failure(self, error: openai.APIConnectionError) -> _RequestFailure:
        cause = error.__cause__
        why = self._redact_key(f"{type(cause).__name__}: {cause}")[:MAX_ERROR_LENGTH]
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            note = f"no server answers at {self.address} ({why}): start it, or correct base_url"
            return _RequestFailure(None, note, fatal=True)
        if isinstance(error, openai.APITimeoutError):
            note = f"{self.address} gave no answer within {self.timeout:g} s, asked up to {self.max_attempts} times"
            return _RequestFailure(None, note)
        note = f"the answer of {self.address} was cut off, asked up to {self.max_attempts} times ({why})"
        return _RequestFailure(None, note)

    def _redact_key(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text


def connect(settings: Openai, key: str, pace: RateLimiter) -> Connection:
    """Nothing is sent yet. Every try of every request waits for the pace, and every answer tells it how busy the server is."""
    meter = RequestTimer()
    http = openai.DefaultHttpxClient(
        event_hooks={
            "request": [lambda request: meter.run_paused(pace.wait)],
            "response": [lambda response: _handle_response(response, pace, meter)],
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
        timeout=httpx2.Timeout(settings.timeout, connect=min(settings.timeout, CONNECT_TIMEOUT)),
        max_retries=settings.max_retries,
        http_client=http,
    )
    tries = settings.max_retries + 1
    connection = Connection(settings.address, settings.model, settings.timeout, tries, client, key, pace, meter)
    weakref.finalize(connection, http.close)
    return connection


def _handle_response(response: httpx2.Response, pace: RateLimiter, meter: RequestTimer) -> None:
    if _is_quota_exhausted(response):
        response.headers["x-should-retry"] = "false"  # the package goes by it
        return
    pace.record_response(response.status_code, response.headers)
    if is_retried(response.status_code):
        # the package waits before the next try
        meter.pause()


def _is_quota_exhausted(response: httpx2.Response) -> bool:
    if response.status_code != TOO_MANY_REQUESTS:
        return False
    response.read()
    try:
        body = response.json()
    except ValueError:
        return False
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and error.get("code") == QUOTA_EXHAUSTED


def _decode_json(response: httpx2.Response) -> dict[str, Any] | str:
    """The answer's JSON, or what is wrong with it."""
    try:
        body = response.json()
    except ValueError as error:
        return f"malformed JSON ({error}): {response.text}"
    if not isinstance(body, dict):
        return f"expected a JSON object, got {response.text}"
    if body.get("error"):
        return f"an error instead of an answer: {_error_message(body['error'])}"
    return body


def _error_message(body: object) -> str:
    """The server's own words, wherever it puts them."""
    if isinstance(body, Mapping):
        return str(next((body[name] for name in ("message", "detail", "error") if body.get(name)), dict(body)))
    return str(body or "no reason given")
