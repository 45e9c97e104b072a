"""When requests may begin, and how the time that they take is shared out among those that are under way together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

# Statuses by which a server says that it is too much for it, whoever asks.
BUSY = frozenset({429, 503})
# Where statuses begin that tell of something wrong, and of something wrong with the server.
ERRORS, FAULTS = 400, 500
# Statuses below those after which a request is tried again.
AGAIN = frozenset({408, 409, 429})
# Seconds that all requests wait after a busy server that does not say how long: the first time, and at most.
FIRST, LONGEST = 1.0, 60.0
# A server that says to wait for longer than so many seconds is not waited for.
PATIENCE = 120.0


@dataclass(slots=True)
class Pace:
    """Lets calls through so that each begins at least 60 / `per_minute` seconds after the one before, not before the tokens
    that were spent fit into `tokens_per_minute`, and not while a server is known to be busy; None sets no limit.

    Not frozen: when the next may begin is shared by all threads.
    """

    per_minute: float | None = None
    tokens_per_minute: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    free_at: float = field(default=float("-inf"), init=False)
    busy_until: float = field(default=float("-inf"), init=False)
    pause: float = field(default=0.0, init=False)
    lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def wait(self) -> None:
        # looked at again after each sleep, since a server may have become busy meanwhile
        while (left := self._left()) > 0:
            self.sleep(left)

    def spent(self, tokens: int) -> None:
        """What an answer took holds up those that begin after it."""
        if self.tokens_per_minute is not None:
            with self.lock:
                self.free_at = max(self.clock(), self.free_at) + tokens * 60 / self.tokens_per_minute

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """All requests wait where one was told that the server is busy: each alone would spend its tries on hearing it too."""
        with self.lock:
            if status not in BUSY:
                self.pause = 0.0 if status < ERRORS else self.pause
                return
            now, told = self.clock(), retry_after(headers)
            if told is not None:
                self.busy_until = max(self.busy_until, now + told if told <= PATIENCE else now)
            elif (
                now >= self.busy_until
            ):  # else it is an answer to a request that was under way when the last pause began
                self.pause = min(LONGEST, max(FIRST, 2 * self.pause))
                self.busy_until = now + self.pause

    def _left(self) -> float:
        """Seconds until the next may begin; where that is none, it is taken to begin now."""
        with self.lock:
            now = self.clock()
            left = max(self.free_at, self.busy_until) - now
            if left <= 0 and self.per_minute is not None:
                self.free_at = now + 60 / self.per_minute
            return left


def tried_again(status: int) -> bool:
    """Whether a request that was answered so is tried again."""
    return status in AGAIN or status >= FAULTS


def retry_after(headers: Mapping[str, str]) -> float | None:
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
class Meter:
    """A clock that goes slower the more requests are under way: its time between a request's beginning and end is that
    request's share, and all shares add up to the seconds in which any was under way.

    Not frozen: it counts what is under way in all threads.
    """

    clock: Callable[[], float] = time.monotonic
    under_way: int = field(default=0, init=False)
    seen: float = field(default=0.0, init=False)
    shared: float = field(default=0.0, init=False)
    own: threading.local = field(default_factory=threading.local, init=False, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def begin(self) -> None:
        """This thread's request begins."""
        self.own.seconds, self.own.since = 0.0, self._moved(+1)

    def rest(self) -> None:
        """This thread's request waits to be tried again, which is no part of it, until it does `wait` or `end`."""
        if self.own.since is not None:
            self.own.seconds += self._moved(-1) - self.own.since
            self.own.since = None

    def wait(self, waiting: Callable[[], None]) -> None:
        """Waits, which is no part of this thread's request."""
        self.rest()
        try:
            waiting()
        finally:
            self.own.since = self._moved(+1)

    def end(self) -> float:
        """Seconds that this thread's request took, by its share."""
        self.rest()
        return float(self.own.seconds)

    def _moved(self, change: int) -> float:
        with self.lock:
            now = self.clock()
            if self.under_way:
                self.shared += (now - self.seen) / self.under_way
            self.seen = now
            self.under_way += change
            return self.shared
