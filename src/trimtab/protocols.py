"""What the parts of a study promise one another. A component is a frozen class whose fields are its settings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from trimtab.types import Completion, Dataset, Score


class Tick(Protocol):
    """One running progress bar: call it with the number of units done since the last call."""

    def __call__(self, done: int = 1) -> None: ...


class Progress(Protocol):
    """Opens progress bars. `unit` is the plural of what is counted: pairs, steps, prompts."""

    def __call__(self, label: str, total: int, unit: str) -> AbstractContextManager[Tick]: ...


@runtime_checkable
class Source(Protocol):
    """Where pairs come from."""

    def load(self) -> Dataset: ...

    def identity(self) -> str:
        """What the pairs depend on besides the settings: the hash of the files' bytes, a generator's version, a revision."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """How good is each completion? One score a completion, in order."""

    def score(self, completions: Sequence[Completion], progress: Progress) -> list[Score]: ...
