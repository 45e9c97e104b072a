"""A page in headless Chromium, driven through its DevTools protocol over pipes."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open the page in")
# With the last of these, commands are read from file 3 and answers written to file 4.
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")

# Seconds of silence after which a test fails instead of waiting on.
_PATIENCE = 60
# By these a browser knows the keys that scroll and move the focus.
_CODES = {" ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}


class OpenPage:
    """One page at one width. `errors` are what its console or its scripts complained of, and what its policy refused."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._rest, self._count = read, write, b"", 0
        self._session: str | None = None
        self.errors: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def open(self, path: Path, width: int, height: int = 900, *, dark: bool = False, fragment: str = "") -> None:
        """Opens a file and waits until it is loaded."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **shape)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        for address in ("about:blank", path.as_uri() + fragment):  # another fragment alone would load nothing
            self.ask("Page.navigate", url=address)
            while self._next().get("method") != "Page.loadEventFired":
                pass

    def run(self, script: str) -> Any:
        """The value of an expression in the page, or of the promise that it gives."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Presses a key down and lets it go, with the shift key held or without."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            code = {"windowsVirtualKeyCode": _CODES[key]} if key in _CODES else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 if shift else 0, **text, **code)

    def until(self, script: str) -> None:
        """Waits until an expression in the page is true, which a busy machine may take a while for."""
        tries = f"const look = () => ({script}) ? done(true) : setTimeout(look, 20); look();"
        held = f"new Promise(done => {{ {tries} setTimeout(() => done(false), {500 * _PATIENCE}) }})"
        assert self.run(held), f"never true: {script}"

    def picture(self, path: Path) -> None:
        """A PNG of what is in view."""
        path.write_bytes(b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def ask(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        wanted = self._count
        session = {"sessionId": self._session} if self._session else {}
        message = json.dumps({"id": wanted, "method": method, "params": parameters, **session})
        os.write(self._write, message.encode() + b"\0")
        while (told := self._next()).get("id") != wanted:
            pass
        assert "error" not in told, told
        return told["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._read], [], [], _PATIENCE)[0], "chromium says nothing"
            more = os.read(self._read, 1 << 16)
            assert more, "chromium has gone"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        self._note(told.get("method", ""), told.get("params", {}))
        return told

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.errors.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.errors.append(str(parameters["args"]))


@contextmanager
def chromium(profile: Path) -> Iterator[OpenPage]:
    """A browser with a profile of its own, gone afterwards."""
    assert CHROMIUM is not None
    from_us, write = _pipe()
    read, to_us = _pipe()
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    ends = [(os.POSIX_SPAWN_DUP2, from_us, 3), (os.POSIX_SPAWN_DUP2, to_us, 4)]
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}"]
    process = os.posix_spawn(CHROMIUM, command, os.environ, file_actions=[*quiet, *ends])
    os.close(from_us)
    os.close(to_us)
    try:
        yield OpenPage(read, write)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(read)
        os.close(write)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are not among the first files, which Chromium expects others to be."""
    pair = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pair)
    for end in pair:
        os.close(end)
    return high[0], high[1]
