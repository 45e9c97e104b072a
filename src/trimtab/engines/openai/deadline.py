"""A deadline for each attempt of a request, however slowly the bytes of its answer arrive."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

import httpcore2
import httpx2


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time at which the current thread's attempt ends, `seconds` after its start."""

    seconds: float
    state: threading.local = field(default_factory=threading.local, repr=False)

    def start(self) -> None:
        self.state.ends_at = time.monotonic() + self.seconds

    def limit(self, timeout: float | None) -> float:
        """The shorter of `timeout` and the time left; not positive after the deadline."""
        left = float(getattr(self.state, "ends_at", math.inf)) - time.monotonic()
        return left if timeout is None else min(timeout, left)


def apply_deadline(client: httpx2.Client, deadline: Deadline) -> None:
    """Makes every connection of the client, through a proxy or not, end reads and writes at the deadline.

    The timeouts of the client restart with each byte that arrives, so a server that sends one byte at a time could hold
    a request forever.
    """
    # Private, because a transport that is passed to the client would disable the proxies of the environment.
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx2.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _DeadlineBackend(pool._network_backend, deadline)


class _DeadlineStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._deadline.limit(timeout)
        if left <= 0:
            raise httpcore2.ReadTimeout("the deadline has passed")
        return self._stream.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = self._deadline.limit(timeout)
        if left <= 0:
            raise httpcore2.WriteTimeout("the deadline has passed")
        self._stream.write(buffer, left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, max(self._deadline.limit(timeout), 0.001))
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _DeadlineBackend(httpcore2.NetworkBackend):
    def __init__(self, backend: httpcore2.NetworkBackend, deadline: Deadline) -> None:
        self._backend, self._deadline = backend, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _DeadlineStream(stream, self._deadline)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None
    ) -> httpcore2.NetworkStream:
        return _DeadlineStream(self._backend.connect_unix_socket(path, timeout, socket_options), self._deadline)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)
