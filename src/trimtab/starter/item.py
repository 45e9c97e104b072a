"""What a family gives, and what becomes of it: drafts, families and the finished items."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Objective = Literal["helpful", "harmless"]
Check = Callable[[str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A prompt, the checker of any answer to it (in [0, 1]), and responses of every quality to choose a pair from."""

    prompt: str
    check: Check
    responses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of task. `drafts` gives the same drafts at every call."""

    name: str
    objective: Objective
    about: str
    drafts: Callable[[], Iterable[Draft]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A prompt with its checker and the chosen pair: `better` has the higher gold reward. `gold_*` are in [0, 1]."""

    family: str
    objective: Objective
    prompt: str
    check: Check
    better: str
    worse: str
    gold_better: float
    gold_worse: float
