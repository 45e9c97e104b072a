"""What a family gives, and what becomes of it: drafts, families and the finished items."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Objective = Literal["helpful", "harmless"]
Checker = Callable[[str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDraft:
    """A prompt, the checker of any answer to it (in [0, 1]), and responses of every quality to choose a pair from."""

    prompt: str
    checker: Checker
    responses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFamily:
    """One kind of task. `drafts` gives the same drafts at every call."""

    name: str
    objective: Objective
    description: str
    generate_drafts: Callable[[], Iterable[PromptDraft]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterItem:
    """A prompt with its checker and the chosen pair: `better` has the higher gold reward. `gold_*` are in [0, 1]."""

    family: str
    objective: Objective
    prompt: str
    checker: Checker
    better: str
    worse: str
    gold_better: float
    gold_worse: float
