"""Task families, their prompt drafts, and the generated items."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Objective = Literal["helpful", "harmless"]
Checker = Callable[[str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDraft:
    """A prompt, a checker that scores any response to it in [0, 1], and responses of varying quality."""

    prompt: str
    checker: Checker
    responses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFamily:
    """One type of task. `generate_drafts` returns the same drafts on every call."""

    name: str
    objective: Objective
    description: str
    generate_drafts: Callable[[], Iterable[PromptDraft]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterItem:
    """A prompt with its checker and two responses. `better` has the higher gold reward; `gold_*` are in [0, 1]."""

    family: str
    objective: Objective
    prompt: str
    checker: Checker
    better: str
    worse: str
    gold_better: float
    gold_worse: float
