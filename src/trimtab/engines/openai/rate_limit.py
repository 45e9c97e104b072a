"""When requests may begin, and how the time that they take is shared out among those that are under way together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

# Statuses by which a server says that it is too much for it, whoever asks.
BUSY_STATUSES = frozenset({429, 503})
# Where statuses begin that tell of something wrong, and of something wrong with the server.
MIN_ERROR_STATUS, MIN_SERVER_ERROR_STATUS = 400, 500
# Statuses below those after which a request is tried again.
RETRIED_CLIENT_ERRORS = frozenset({408, 409, 429})
# Seconds that all requests wait after a busy server that does not say how long: the first time, and at most.
MIN_PAUSE, MAX_PAUSE = 1.0, 60.0
# A server that says to wait for longer than so many seconds is not waited for.
MAX_RETRY_AFTER = 120.0


@dataclass(slots=True)
class RateLimiter:
    """Lets calls through so that each begins at least 60 / `per_minute` seconds after the one before, not before the tokens
    that were spent fit into `tokens_per_minute`, and not while a server is known to be busy; None sets no limit.

    Not frozen: when the next may begin is shared by all threads.
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
        # looked at again after each sleep, since a server may have become busy meanwhile
        while (left := self._seconds_until_next()) > 0:
            self.sleep(left)

    def record_tokens(self, tokens: int) -> None:
        """What an answer took holds up those that begin after it."""
        if self.tokens_per_minute is not None:
            with self.lock:
                self.next_request_at = max(self.clock(), self.next_request_at) + tokens * 60 / self.tokens_per_minute

    def record_response(self, status: int, headers: Mapping[str, str]) -> None:
        """All requests wait where one was told that the server is busy: each alone would spend its tries on hearing it too."""
        with self.lock:
            if status not in BUSY_STATUSES:
                self.pause = 0.0 if status < MIN_ERROR_STATUS else self.pause
                return
            now, told = self.clock(), parse_retry_after(headers)
            if told is not None:
                self.busy_until = max(self.busy_until, now + told if told <= MAX_RETRY_AFTER else now)
            elif (
                now >= self.busy_until
            ):  # else it is an answer to a request that was under way when the last pause began
                self.pause = min(MAX_PAUSE, max(MIN_PAUSE, 2 * self.pause))
                self.busy_until = now + self.pause

    def _seconds_until_next(self) -> float:
        """Seconds until the next may begin; where that is none, it is taken to begin now."""
        with self.lock:
            now = self.clock()
            left = max(self.next_request_at, self.busy_until) - now
            if left <= 0 and self.requests_per_minute is not None:
                self.next_request_at = now + 60 / self.requests_per_minute
            return left


def is_retried(status: int) -> bool:
    """Whether a request that was answered so is tried again."""
    return status in RETRIED_CLIENT_ERRORS or status >= MIN_SERVER_ERROR_STATUS


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds for which a server says to wait; None where it does not say, or in no known way."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None


@dataclass(slots=True)
class RequestTimer:
    """A clock that goes slower the more requests are under way: its time between a request's beginning and end is that
    request's share, and all shares add up to the seconds in which any was under way.

    Not frozen: it counts what is under way in all threads.
    """

    clock: Callable[[], float] = time.monotonic
    active_requests: int = field(default=0, init=False)
    last_update: float = field(default=0.0, init=False)
    shared_seconds: float = field(default=0.0, init=False)
    thread_state: threading.local = field(default_factory=threading.local, init=False, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def start(self) -> None:
        """This thread's request begins."""
        self.thread_state.seconds, self.thread_state.since = 0.0, self._advance(+1)

    def pause(self) -> None:
        """This thread's request waits to be tried again, which is no part of it, until it does `wait` or `end`."""
        if self.thread_state.since is not None:
            self.thread_state.seconds += self._advance(-1) - self.thread_state.since
            self.thread_state.since = None

    def run_paused(self, waiting: Callable[[], None]) -> None:
        """Waits, which is no part of this thread's request."""
        self.pause()
        try:
            waiting()
        finally:
            self.thread_state.since = self._advance(+1)

    def stop(self) -> float:
        """Seconds that this thread's request took, by its share."""
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
