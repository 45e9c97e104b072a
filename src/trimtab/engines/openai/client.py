"""HTTP client for the OpenAI protocol: responses, and errors with the API key redacted."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from trimtab.engines.openai.deadline import Deadline, apply_deadline
from trimtab.engines.openai.rate_limit import RateLimiter, RequestTimer, is_retried
from trimtab.engines.openai.response_body import (
    BodyError,
    decode_json,
    find_reported_error,
    format_error_message,
    read_body,
)
from trimtab.engines.openai.responses import describe_problem, parse_cost
from trimtab.errors import EngineError
from trimtab.types import Cost

if TYPE_CHECKING:
    from trimtab.engines.openai import Openai

# Errors that affect every request: a wrong key, an unpaid bill, a server that has moved.
FATAL_STATUSES = frozenset({301, 302, 307, 308, 401, 402})
# Error code of a 429 that means the account's quota is used up, so that waiting does not help.
TOO_MANY_REQUESTS, QUOTA_EXHAUSTED = 429, "insufficient_quota"
# Errors that may concern the key, the model or the address, or only this request (moderation, an unsupported field).
AMBIGUOUS_STATUSES = frozenset({403, 404})
# Error messages of an unsupported scoring strategy. Other rejections would occur with every strategy.
UNSUPPORTED_STRATEGY = re.compile(r"logprob|echo|requested parameters", re.IGNORECASE)
REJECTED_STATUSES = frozenset({400, 404, 422})
# Error messages of an unsupported way to send a prefill.
PREFILL_ERROR = re.compile(r"continue_final_message|add_generation_prompt|prefix|prefill", re.IGNORECASE)
# What to do if the server does not accept a field of the request.
OPTIONAL_FIELDS = {
    "max_tokens": "; set max_tokens_field: max_completion_tokens",
    **{
        name: f"; leave the field out with extra_body: {{{name}: null}}"
        for name in ("temperature", "top_p", "seed", "stop")
    },
}
# Prompt that checks whether the server answers at all, and the fields of the failed request that the check omits.
PROBE_PROMPT = "Say hello."
REQUEST_SPECIFIC_FIELDS = frozenset(
    {"messages", "prompt", "stop", "seed", "logprobs", "top_logprobs", "echo", "continue_final_message"}
    | {"add_generation_prompt"}
)
# Attempts of the first request: few, so that a wrong address is reported quickly.
CONNECTION_CHECK_ATTEMPTS = 3
# Seconds to wait for a connection, regardless of the timeout of responses.
CONNECT_TIMEOUT = 10.0
MAX_ERROR_LENGTH = 300


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """The server's JSON; empty with a `note` if the request failed. `unsupported`: it rejected the scoring strategy."""

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
    """Thread-safe connection to a server. Its repr and its messages never contain the API key."""

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
        """Raises `EngineError` if no server answers, the server has moved, or it rejects the key.

        The check also passes if the server has no list of models, or if the key has no access to it.
        """
        options: Any = {"max_retries": min(self.max_attempts, CONNECTION_CHECK_ATTEMPTS) - 1}
        result, _ = self._send(lambda: self.client.get("/models", cast_to=httpx2.Response, options=options))
        if isinstance(result, _RequestFailure) and result.fatal:
            raise EngineError(result.note)

    def request(self, path: str, body: Mapping[str, Any]) -> ServerResponse:
        """Posts a request. Raises `EngineError` if every request would fail: no server, an invalid key, an unknown model."""
        result, cost = self._post(path, body)
        if isinstance(result, _RequestFailure):
            if result.status in AMBIGUOUS_STATUSES and not result.unsupported:
                cost += self._probe_server(path, body, result)
            if result.fatal:
                raise EngineError(result.note)
            return ServerResponse({}, cost, result.note, unsupported=result.unsupported)
        decoded = _decode_response(result)
        if isinstance(decoded, str):
            return ServerResponse({}, cost, self._redact_key(decoded)[:MAX_ERROR_LENGTH])
        self.has_answered.set()
        tokens = parse_cost(decoded)
        self.rate_limiter.record_tokens(tokens.prompt_tokens + tokens.cached_tokens + tokens.generated_tokens)
        problem = self._redact_key(describe_problem(decoded))[:MAX_ERROR_LENGTH]
        return ServerResponse({} if problem else decoded, cost + tokens, problem)

    def _probe_server(self, path: str, body: Mapping[str, Any], failure: _RequestFailure) -> Cost:
        """Sends a short test request unless a request has already succeeded, and returns its cost.

        Raises `EngineError` if the test request fails too.
        """
        with self.probe_lock:
            if self.has_answered.is_set():
                return Cost()
            chat = "messages" in body
            prompt = {"messages": [{"role": "user", "content": PROBE_PROMPT}]} if chat else {"prompt": PROBE_PROMPT}
            fields = {name: value for name, value in body.items() if name not in REQUEST_SPECIFIC_FIELDS}
            result, cost = self._post(path, {**fields, **prompt})
            if isinstance(result, _RequestFailure) or isinstance(_decode_response(result), str):
                raise EngineError(failure.note)
            self.has_answered.set()
            return cost

    def _post(self, path: str, body: Mapping[str, Any]) -> tuple[httpx2.Response | _RequestFailure, Cost]:
        result, seconds = self._send(lambda: self.client.post(path, cast_to=httpx2.Response, body=dict(body)))
        return result, Cost(seconds=seconds, calls=1)

    def _send(self, send: Callable[[], httpx2.Response]) -> tuple[httpx2.Response | _RequestFailure, float]:
        """The response or the failure, and the seconds charged to it.

        Failures are values, so that an error raised from one has no `__context__` that could contain the key.
        """
        self.timer.start()
        result: httpx2.Response | _RequestFailure
        try:
            result = send()
        except openai.APIStatusError as error:
            result = self._status_failure(error)
        except openai.APIConnectionError as error:
            result = self._connection_failure(error)
        except BodyError as error:
            result = _RequestFailure(None, f"{self.address}: {error}")
        finally:
            seconds = self.timer.stop()
        return result, seconds

    def _status_failure(self, error: openai.APIStatusError) -> _RequestFailure:
        status, message = error.status_code, self._redact_key(_read_message(error.body))
        hint = {
            401: "; check the environment variable that api_key_env names",
            404: f"; check that {self.model!r} is the server's name for the model and that base_url, which usually ends in "
            "/v1, is right",
        }.get(status, "")
        unsupported = status in REJECTED_STATUSES and UNSUPPORTED_STRATEGY.search(message) is not None
        if status in REJECTED_STATUSES and not unsupported and PREFILL_ERROR.search(message):
            hint = "; set prefill to a method that the server supports"
        elif status in REJECTED_STATUSES and not unsupported and error.param in OPTIONAL_FIELDS:
            hint = OPTIONAL_FIELDS[error.param]
        fatal = status in FATAL_STATUSES or error.code == QUOTA_EXHAUSTED
        attempts = f" after up to {self.max_attempts} attempts" if is_retried(status) and not fatal else ""
        note = f"{self.address} answered {status}{attempts}: {message[:MAX_ERROR_LENGTH]}{hint}"
        return _RequestFailure(status, note, fatal=fatal, unsupported=unsupported)

    def _connection_failure(self, error: openai.APIConnectionError) -> _RequestFailure:
        cause = error.__cause__
        reason = self._redact_key(f"{type(cause).__name__}: {cause}")[:MAX_ERROR_LENGTH]
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            note = f"no server answers at {self.address} ({reason}): start it or correct base_url"
            return _RequestFailure(None, note, fatal=True)
        if isinstance(error, openai.APITimeoutError):
            note = f"{self.address} did not answer within {self.timeout:g} s in up to {self.max_attempts} attempts"
            return _RequestFailure(None, note)
        note = f"the connection to {self.address} was lost in up to {self.max_attempts} attempts ({reason})"
        return _RequestFailure(None, note)

    def _redact_key(self, text: str) -> str:
        return text.replace(self.key, "[key]") if self.key else text


def connect(settings: Openai, key: str, rate_limiter: RateLimiter) -> Connection:
    """Builds the connection without sending anything. Every attempt waits for the rate limiter and reports its result to it."""
    timer = RequestTimer()
    deadline = Deadline(settings.timeout)
    http = openai.DefaultHttpxClient(
        event_hooks={
            "request": [lambda request: _start_attempt(rate_limiter, timer, deadline)],
            "response": [lambda response: _handle_response(response, rate_limiter, timer)],
        },
        limits=httpx2.Limits(max_connections=settings.concurrency),
        # A redirect must not forward the key to another server.
        follow_redirects=False,
    )
    apply_deadline(http, deadline)
    client = openai.OpenAI(
        base_url=settings.base_url,
        api_key=key or "none",
        # Set explicitly, because environment variables of the package would override it.
        default_headers={"Authorization": f"Bearer {key or 'none'}", "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(settings.timeout, connect=min(settings.timeout, CONNECT_TIMEOUT)),
        max_retries=settings.max_retries,
        http_client=http,
    )
    connection = Connection(
        address=settings.address,
        model=settings.model,
        timeout=settings.timeout,
        max_attempts=settings.max_retries + 1,
        client=client,
        key=key,
        rate_limiter=rate_limiter,
        timer=timer,
    )
    weakref.finalize(connection, http.close)
    return connection


def _start_attempt(rate_limiter: RateLimiter, timer: RequestTimer, deadline: Deadline) -> None:
    timer.run_paused(rate_limiter.wait)
    deadline.start()


def _handle_response(response: httpx2.Response, rate_limiter: RateLimiter, timer: RequestTimer) -> None:
    read_body(response)
    if _is_quota_exhausted(response):
        response.headers["x-should-retry"] = "false"  # read by the package
        return
    rate_limiter.record_response(response.status_code, response.headers)
    if is_retried(response.status_code):
        # The package waits before the next attempt.
        timer.pause()


def _is_quota_exhausted(response: httpx2.Response) -> bool:
    body = decode_json(response.content) if response.status_code == TOO_MANY_REQUESTS else ""
    error = find_reported_error(body) if isinstance(body, dict) else None
    return isinstance(error, dict) and error.get("code") == QUOTA_EXHAUSTED


def _read_message(body: object) -> str:
    error = find_reported_error(body) if isinstance(body, dict) else None
    return format_error_message(error or body)


def _decode_response(response: httpx2.Response) -> dict[str, Any] | str:
    """The JSON object of the response, or an error message."""
    body = decode_json(response.content)
    if isinstance(body, dict) and (body.get("error") or body.get("object") == "error"):
        return f"the response is an error: {format_error_message(find_reported_error(body))}"
    return body
