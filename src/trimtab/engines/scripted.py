"""The engine that ships for tests and for trying things out: it answers by rules instead of a model."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import Field, field_validator

from trimtab.components import Component
from trimtab.protocols import Runtime
from trimtab.types import Cost, Question, Reply, Weighing, conversation

T = TypeVar("T")


class Scripted(Component):
    """Rules instead of a model, for tests and for trying things out.

    The first pattern that is found in the question's text decides; without one, `otherwise` is written and all candidates
    weigh the same.

    `weighs` holds a figure for each candidate, in their order; only their proportions count.
    """

    writes: Mapping[str, str] = Field(default_factory=dict)
    weighs: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    otherwise: str = ""

    @field_validator("writes", "weighs")
    @classmethod
    def _patterns(cls, given: Mapping[str, T]) -> Mapping[str, T]:
        for pattern in given:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return given

    @field_validator("weighs")
    @classmethod
    def _some_weight(cls, weighs: Mapping[str, tuple[float, ...]]) -> Mapping[str, tuple[float, ...]]:
        for pattern, figures in weighs.items():
            if any(figure < 0 for figure in figures) or not 0 < sum(figures) < math.inf:
                raise ValueError(
                    f"{pattern!r}: weights must not be negative and not all be zero, with a finite sum, got {list(figures)}"
                )
        return weighs

    def start(self, runtime: Runtime) -> ScriptedEngine:
        del runtime
        return ScriptedEngine(write=self._write, weigh=self._weigh)

    def identity(self) -> str:
        return hashlib.sha256(json.dumps(self.model_dump(mode="json")).encode()).hexdigest()[:16]

    def _write(self, question: Question) -> str:
        return next((text for pattern, text in self.writes.items() if _found(pattern, question)), self.otherwise)

    def _weigh(self, question: Question, candidates: Sequence[str]) -> Sequence[float]:
        for pattern, figures in self.weighs.items():
            if _found(pattern, question):
                if len(figures) != len(candidates):
                    raise ValueError(f"weighs.{pattern}: {len(figures)} weights for {len(candidates)} candidates")
                return figures
        return [1.0] * len(candidates)


@dataclass(frozen=True, slots=True)
class ScriptedEngine:
    """Answers by two functions of the question; `asked` keeps every question in the order in which they came.

    `weigh` gives figures whose proportions are the shares. A token is a word here.
    """

    write_as: Callable[[Question], str]
    weigh_as: Callable[[Question, Sequence[str]], Sequence[float]]
    asked: list[Question] = field(default_factory=list)

    def __init__(
        self,
        write: Callable[[Question], str] = lambda _: "",
        weigh: Callable[[Question, Sequence[str]], Sequence[float]] = lambda _, candidates: [1.0] * len(candidates),
    ) -> None:
        object.__setattr__(self, "write_as", write)
        object.__setattr__(self, "weigh_as", weigh)
        object.__setattr__(self, "asked", [])

    def write(
        self,
        questions: Sequence[Question],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Reply]:
        del temperature, seed
        return [self._reply(question, max_tokens, stop) for question in questions]

    def _reply(self, question: Question, max_tokens: int, stop: Sequence[str]) -> Reply:
        self.asked.append(question)
        text = self.write_as(question)
        for mark in stop:
            text = text.split(mark, 1)[0]
        words = text.split(" ") if text else []
        cut = len(words) > max_tokens
        return Reply(
            text=" ".join(words[:max_tokens]),
            stop="length" if cut else "end",
            cost=Cost(prompt_tokens=_words(question), generated_tokens=min(len(words), max_tokens), calls=1),
        )

    def weigh(
        self,
        questions: Sequence[Question],
        candidates: Sequence[Sequence[str]],
        *,
        first_token: bool = False,
        ended: bool = False,
    ) -> list[Weighing]:
        found = []
        for question, among in zip(questions, candidates, strict=True):
            self.asked.append(question)
            figures = self.weigh_as(question, among)
            if len(figures) != len(among) or sum(figures) == 0:
                raise ValueError(f"weigh: {list(figures)} for {len(among)} candidates; one weight each, not all zero")
            shares = tuple(figure / sum(figures) for figure in figures)
            found.append(
                Weighing(
                    shares=shares,
                    logprobs=tuple(math.log(share) if share else -math.inf for share in shares),
                    tokens=tuple(1 if first_token else len(each.split()) + ended for each in among),
                    cost=Cost(prompt_tokens=_words(question), calls=1),
                )
            )
        return found


def _found(pattern: str, question: Question) -> bool:
    return re.search(pattern, f"{conversation(question.prompt)}\n{question.begins}") is not None


def _words(question: Question) -> int:
    return len(conversation(question.prompt).split()) + len(question.begins.split())
