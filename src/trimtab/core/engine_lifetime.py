"""Closes engines that hold a process or the memory of a GPU, such as vLLM, as soon as they are no longer needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from trimtab.core.interfaces import Engine


@runtime_checkable
class ClosableEngine(Protocol):
    """An engine that holds something beyond its own objects until it is closed."""

    def close(self) -> None:
        """Frees what the engine holds. The engine cannot be used afterwards; a second call has no effect."""
        ...


def close_engines(engines: Iterable[Engine]) -> None:
    """Closes the engines that can be closed. The memory of the others is freed when nothing refers to them."""
    for engine in engines:
        if isinstance(engine, ClosableEngine):
            engine.close()


@contextmanager
def open_engines(start_functions: Mapping[str, Callable[[], Engine]]) -> Iterator[dict[str, Engine]]:
    """Starts the engines in order, and closes them at the end, also if one of them does not start or the block fails."""
    engines: dict[str, Engine] = {}
    try:
        for name, start in start_functions.items():
            engines[name] = start()
        yield engines
    finally:
        close_engines(engines.values())
