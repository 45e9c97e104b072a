"""Closes engines that hold a process or the memory of a GPU, such as vLLM, as soon as they are no longer needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
def closing_engines(engines: Mapping[str, Engine]) -> Iterator[Mapping[str, Engine]]:
    """Closes the engines at the end, also after an error."""
    try:
        yield engines
    finally:
        close_engines(engines.values())
