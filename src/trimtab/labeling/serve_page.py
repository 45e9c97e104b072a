"""Serves the labeling page until it is interrupted."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from trimtab.errors import StudyError
from trimtab.labeling.access_control import AccessControl
from trimtab.labeling.labeling_session import LabelingSession
from trimtab.labeling.page_html import build_labeling_page
from trimtab.labeling.web_app import build_web_app

LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = (LOOPBACK, "localhost", "::1")
_WILDCARDS = ("", "0.0.0.0", "::", "*")  # noqa: S104 - they are rejected
_SHUTDOWN_SECONDS = 1


def describe_host_risk(host: str) -> str | None:
    """A warning if others can reach the address. Raises `StudyError` for one that means all addresses of the machine."""
    if host in _WILDCARDS:
        raise StudyError(f"--host {host or repr(host)}: give the one address that raters open, such as 192.168.1.20")
    if host in _LOOPBACK_NAMES:
        return None
    return (
        f"warning: everyone who can reach {host} can read the unencrypted texts and labels on their way; an SSH tunnel is "
        "safer: start the page without --host, and connect with ssh -L PORT:127.0.0.1:PORT, with the page's port both times"
    )


def serve_page(
    session: LabelingSession, guideline: str, host: str, port: int | None, announce: Callable[[str], None]
) -> None:
    """Serves until SIGINT or SIGTERM; every answer is saved when it is given.

    Without `port`, the port of the last session is used if it is free, because browsers keep unconfirmed answers by address;
    else a random one. `announce` gets the link. Raises `StudyError` if the address cannot be used.
    """
    with _bind(host, port, session) as listener:
        port = listener.getsockname()[1]
        access = AccessControl(_list_hosts(host, port), port)
        session.start(guideline, port)
        app = build_web_app(session, guideline, access, build_labeling_page())
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with suppress(KeyboardInterrupt):
                announce(access.link)
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            signal.signal(signal.SIGTERM, previous)


def _bind(host: str, port: int | None, session: LabelingSession) -> socket.socket:
    starts = session.history.starts
    ports = [port] if port is not None else [*([starts[-1].port] if starts else []), 0]
    for index, each in enumerate(ports):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, each))
            listener.listen()  # so that the link works at once
        except OSError as error:
            listener.close()
            if index == len(ports) - 1:
                option = f"--host {host}" if port is None else f"--host {host} --port {port}"
                raise StudyError(f"{option}: {error.strerror}; choose another address") from error
        else:
            return listener
    raise AssertionError("there is at least one port")


def _list_hosts(host: str, port: int) -> tuple[str, ...]:
    """The accepted Host headers; the first is that of the link."""
    names = (host, *(name for name in _LOOPBACK_NAMES if name != host)) if host in _LOOPBACK_NAMES else (host,)
    return tuple(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in names)
