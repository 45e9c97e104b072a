"""Limits the rate of requests and attributes elapsed time to concurrent requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

# Status codes of an overloaded server, whichever request receives them.
BUSY_STATUSES = frozenset({429, 503})
# Lowest status codes of an error and of a server error.
MIN_ERROR_STATUS, MIN_SERVER_ERROR_STATUS = 400, 500
# Status codes below 500 after which a request is retried.
RETRIED_CLIENT_ERRORS = frozenset({408, 409, 429})
# Shortest and longest pause of all requests, in seconds, after a busy response without Retry-After.
MIN_PAUSE, MAX_PAUSE = 1.0, 60.0
# Requests do not wait for a server that asks for a longer pause, in seconds.
MAX_RETRY_AFTER = 120.0


@dataclass(slots=True)
class RateLimiter:
    """Delays requests until the rate limits allow them and the server is not busy. A limit of None is unlimited.

    Requests start at least 60 / `requests_per_minute` seconds apart, and not before the tokens spent so far fit into
    `tokens_per_minute`. Mutable, because all threads share the time of the next request.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    next_request_at: float = field(default=float("-inf"), init=False)
    busy_until: float = field(default=float("-inf"), init=False)
    pause: float = field(default=0.0, init=False)
    lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def wait(self) -> None:
        """Blocks until the next request may start."""
        # Checked again after each sleep, because the server may have become busy in the meantime.
        while (remaining := self._seconds_until_next()) > 0:
            self.sleep(remaining)

    def record_tokens(self, tokens: int) -> None:
        """Delays later requests by the tokens of a response."""
        if self.tokens_per_minute is not None:
            with self.lock:
                self.next_request_at = max(self.clock(), self.next_request_at) + tokens * 60 / self.tokens_per_minute

    def record_response(self, status: int, headers: Mapping[str, str]) -> None:
        """Pauses all requests after a busy response, so that the others do not use up their retries on the same condition."""
        with self.lock:
            if status not in BUSY_STATUSES:
                self.pause = 0.0 if status < MIN_ERROR_STATUS else self.pause
                return
            now, retry_after = self.clock(), parse_retry_after(headers)
            if retry_after is not None:
                self.busy_until = max(self.busy_until, now + retry_after if retry_after <= MAX_RETRY_AFTER else now)
            elif now >= self.busy_until:  # otherwise the request was already in flight when the last pause began
                self.pause = min(MAX_PAUSE, max(MIN_PAUSE, 2 * self.pause))
                self.busy_until = now + self.pause

    def _seconds_until_next(self) -> float:
        """Seconds until the next request may start. If the result is not positive, that request counts as started."""
        with self.lock:
            now = self.clock()
            remaining = max(self.next_request_at, self.busy_until) - now
            if remaining <= 0 and self.requests_per_minute is not None:
                self.next_request_at = now + 60 / self.requests_per_minute
            return remaining


def is_retried(status: int) -> bool:
    """Whether a request with a response of this status code is retried."""
    return status in RETRIED_CLIENT_ERRORS or status >= MIN_SERVER_ERROR_STATUS


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait according to the server; None if it does not say or the format is unknown."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, OverflowError, OSError):
        return None


@dataclass(slots=True)
class RequestTimer:
    """Splits elapsed time among concurrent requests.

    With n requests in flight, each is charged 1/n of the elapsed time, so the charges of all requests add up to the seconds
    during which at least one was in flight. Mutable, because it counts the requests of all threads.
    """

    clock: Callable[[], float] = time.monotonic
    active_requests: int = field(default=0, init=False)
    last_update: float = field(default=0.0, init=False)
    shared_seconds: float = field(default=0.0, init=False)
    thread_state: threading.local = field(default_factory=threading.local, init=False, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def start(self) -> None:
        """Starts the request of the current thread."""
        self.thread_state.seconds, self.thread_state.started_at = 0.0, self._advance(+1)

    def pause(self) -> None:
        """Stops charging the current thread's request, while it waits for a retry, until `run_paused` or `stop`."""
        if self.thread_state.started_at is not None:
            self.thread_state.seconds += self._advance(-1) - self.thread_state.started_at
            self.thread_state.started_at = None

    def run_paused(self, wait: Callable[[], None]) -> None:
        """Calls `wait` without charging the time to the current thread's request."""
        self.pause()
        try:
            wait()
        finally:
            self.thread_state.started_at = self._advance(+1)

    def stop(self) -> float:
        """Ends the current thread's request and returns the seconds charged to it."""
        self.pause()
        return float(self.thread_state.seconds)

    def _advance(self, change: int) -> float:
        with self.lock:
            now = self.clock()
            if self.active_requests:
                self.shared_seconds += (now - self.last_update) / self.active_requests
            self.last_update = now
            self.active_requests += change
            return self.shared_seconds
