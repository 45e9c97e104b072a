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
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
# With --remote-debugging-pipe, Chromium reads commands from file descriptor 3 and writes results to 4.
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")

# Seconds without a message from the browser after which a test fails.
_TIMEOUT = 60
# Virtual key codes of keys that scroll or move the focus.
_KEY_CODES = {" ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}


class OpenPage:
    """A browser page. `errors` are errors and warnings of its console and scripts, and violations of its security policy."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._buffer, self._num_messages = read, write, b"", 0
        self._session: str | None = None
        self._loaded: set[str] = set()
        self.errors: list[str] = []
        self.open_tab()

    def open_tab(self) -> str:
        """Opens another tab, which receives the next commands. Returns its id for `select_tab`."""
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session: str = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = session
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Page.setLifecycleEventsEnabled", enabled=True)
        return session

    def select_tab(self, tab: str) -> None:
        self._session = tab
        self.send("Page.bringToFront")

    def open(self, path: Path, width: int, height: int = 900, *, dark: bool = False, fragment: str = "") -> None:
        """Opens a file and waits until it is loaded. Sizes are in CSS pixels."""
        self.open_address(path.as_uri() + fragment, width, height, dark=dark)

    def open_address(self, address: str, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Opens an address and waits until it is loaded."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        for url in ("about:blank", address):  # a new fragment alone would not reload the page
            loader = self.send("Page.navigate", url=url)["loaderId"]
            while loader not in self._loaded:
                self._receive()

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, or of its promise."""
        response = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in response, response["exceptionDetails"]
        return response["result"].get("value")

    def press(self, key: str, *, shift: bool = False, held: int = 0) -> None:
        """Presses and releases a key, optionally with shift; a held key repeats `held` times first."""
        for kind in ("keyDown", *["autoRepeat"] * held, "keyUp"):
            text = {"text": key} if kind != "keyUp" and len(key) == 1 else {}
            code = {"windowsVirtualKeyCode": _KEY_CODES[key]} if key in _KEY_CODES else {}
            repeat = {"autoRepeat": True} if kind == "autoRepeat" else {}
            event_type = "keyDown" if repeat else kind
            modifiers = 8 if shift else 0
            self.send("Input.dispatchKeyEvent", type=event_type, key=key, modifiers=modifiers, **text, **code, **repeat)

    def wait_for(self, script: str) -> None:
        """Waits until a JavaScript expression is true. Fails after half of the timeout."""
        poll = f"const check = () => ({script}) ? done(true) : setTimeout(check, 20); check();"
        promise = f"new Promise(done => {{ {poll} setTimeout(() => done(false), {500 * _TIMEOUT}) }})"
        assert self.run(promise), f"never true: {script}"

    def save_screenshot(self, path: Path) -> None:
        """Writes a PNG of the viewport."""
        path.write_bytes(b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def send(self, method: str, **parameters: Any) -> Any:
        self._num_messages += 1
        message_id = self._num_messages
        session = {"sessionId": self._session} if self._session else {}
        message = json.dumps({"id": message_id, "method": method, "params": parameters, **session})
        os.write(self._write, message.encode() + b"\0")
        while (response := self._receive()).get("id") != message_id:
            pass
        assert "error" not in response, response
        return response["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], _TIMEOUT)[0], "no message from chromium"
            data = os.read(self._read, 1 << 16)
            assert data, "chromium has exited"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        event: dict[str, Any] = json.loads(message)
        if event.get("method") == "Page.lifecycleEvent" and event["params"]["name"] == "load":
            self._loaded.add(event["params"]["loaderId"])
        self._record_error(event.get("method", ""), event.get("params", {}))
        return event

    def _record_error(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.errors.append(parameters["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.errors.append(str(parameters["args"]))


@contextmanager
def chromium(profile: Path) -> Iterator[OpenPage]:
    """A browser with its own profile. It is killed at exit."""
    assert CHROMIUM is not None
    command_read, write = _create_pipe()
    read, result_write = _create_pipe()
    silence = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    pipes = [(os.POSIX_SPAWN_DUP2, command_read, 3), (os.POSIX_SPAWN_DUP2, result_write, 4)]
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}"]
    process = os.posix_spawn(CHROMIUM, command, os.environ, file_actions=[*silence, *pipes])
    os.close(command_read)
    os.close(result_write)
    try:
        yield OpenPage(read, write)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(read)
        os.close(write)


def _create_pipe() -> tuple[int, int]:
    """A pipe with file descriptors of at least 10, since Chromium uses 0 to 4 for other files."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in low)
    for descriptor in low:
        os.close(descriptor)
    return high[0], high[1]
