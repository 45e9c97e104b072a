"""A Python process that this process starts, sends lines to, and receives messages from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from trimtab.pipeline.worker_protocol import MessageHandlers

STOP_SECONDS = 5.0


class ChildProcess:
    """Executes `code`, which finds the import path of this process in `sys.argv[1]`.

    The process is expected to end when its standard input does, so it never outlives this one. Its messages are lines of JSON.
    `on_end` receives its exit status after its last message.
    """

    def __init__(
        self,
        code: str,
        handlers: MessageHandlers,
        on_end: Callable[[int], object],
        *,
        environment: Mapping[str, str],
        is_quiet: bool = False,
    ) -> None:
        import_path = json.dumps([path for path in sys.path if isinstance(path, str)])
        self._handlers = handlers
        self._on_end = on_end
        self.process = subprocess.Popen(  # noqa: S603 - the code is a constant
            # imports only what this process would import: `-m` would look into the working directory first
            [sys.executable, "-P", "-c", code, import_path],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if is_quiet else None,
            text=True,
            start_new_session=True,  # an interrupt reaches only this process, which stops the other one
        )
        self._reader = threading.Thread(target=self._read_messages, daemon=True)
        self._reader.start()

    def send(self, text: str) -> None:
        with suppress(OSError):  # it ended, and `on_end` is called
            self.process.stdin.write(text)  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]

    def close(self) -> None:
        """Asks the process to end."""
        with suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]

    def wait(self) -> None:
        """Waits for the end of the process and its last messages; kills it after some seconds."""
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(STOP_SECONDS)  # a process that it started can keep its pipe open

    def _read_messages(self) -> None:
        with self.process.stdout as lines:  # type: ignore[union-attr]
            for line in lines:
                if line.endswith("\n"):  # else it was killed while it wrote
                    kind, *values = json.loads(line)
                    self._handlers[kind](*values)
        self._on_end(self.process.wait())
