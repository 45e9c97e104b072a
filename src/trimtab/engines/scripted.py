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

from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.types import ChoiceScores, Cost, EngineRequest, Generation, format_conversation

T = TypeVar("T")


class Scripted(Component):
    """Rules instead of a model, for tests and for trying things out.

    The first pattern that is found in the question's text decides; without one, `otherwise` is written and all candidates
    weigh the same.

    `weighs` holds a figure for each candidate, in their order; only their proportions count.
    """

    replies: Mapping[str, str] = Field(default_factory=dict)
    choice_weights: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    default_reply: str = ""

    @field_validator("replies", "choice_weights")
    @classmethod
    def _validate_patterns(cls, given: Mapping[str, T]) -> Mapping[str, T]:
        for pattern in given:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return given

    @field_validator("choice_weights")
    @classmethod
    def _validate_weights(cls, weighs: Mapping[str, tuple[float, ...]]) -> Mapping[str, tuple[float, ...]]:
        for pattern, figures in weighs.items():
            if any(figure < 0 for figure in figures) or not 0 < sum(figures) < math.inf:
                raise ValueError(
                    f"{pattern!r}: weights must not be negative and not all be zero, with a finite sum, got {list(figures)}"
                )
        return weighs

    def start(self, runtime: Runtime) -> ScriptedEngine:
        del runtime
        return ScriptedEngine(reply=self._find_reply, choice_weights=self._find_weights)

    def content_hash(self) -> str:
        return hashlib.sha256(json.dumps(self.model_dump(mode="json")).encode()).hexdigest()[:16]

    def _find_reply(self, question: EngineRequest) -> str:
        return next((text for pattern, text in self.replies.items() if _matches(pattern, question)), self.default_reply)

    def _find_weights(self, question: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        for pattern, figures in self.choice_weights.items():
            if _matches(pattern, question):
                if len(figures) != len(candidates):
                    raise ValueError(f"weighs.{pattern}: {len(figures)} weights for {len(candidates)} candidates")
                return figures
        return [1.0] * len(candidates)


@dataclass(frozen=True, slots=True)
class ScriptedEngine:
    """Answers by two functions of the question; `asked` keeps every question in the order in which they came.

    `weigh` gives figures whose proportions are the shares. A token is a word here.
    """

    reply_fn: Callable[[EngineRequest], str]
    weights_fn: Callable[[EngineRequest, Sequence[str]], Sequence[float]]
    requests: list[EngineRequest] = field(default_factory=list)

    def __init__(
        self,
        reply: Callable[[EngineRequest], str] = lambda _: "",
        choice_weights: Callable[[EngineRequest, Sequence[str]], Sequence[float]] = lambda _, candidates: (
            [1.0] * len(candidates)
        ),
    ) -> None:
        object.__setattr__(self, "write_as", reply)
        object.__setattr__(self, "weigh_as", choice_weights)
        object.__setattr__(self, "asked", [])

    def generate(
        self,
        requests: Sequence[EngineRequest],
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[Generation]:
        del temperature, seed
        return [self._generate_one(question, max_new_tokens, stop) for question in requests]

    def _generate_one(self, question: EngineRequest, max_tokens: int, stop: Sequence[str]) -> Generation:
        self.requests.append(question)
        text = self.reply_fn(question)
        for mark in stop:
            text = text.split(mark, 1)[0]
        words = text.split(" ") if text else []
        cut = len(words) > max_tokens
        return Generation(
            text=" ".join(words[:max_tokens]),
            finish_reason="length" if cut else "end",
            cost=Cost(prompt_tokens=_count_words(question), generated_tokens=min(len(words), max_tokens), calls=1),
        )

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        found = []
        for question, among in zip(requests, candidates, strict=True):
            self.requests.append(question)
            figures = self.weights_fn(question, among)
            if len(figures) != len(among) or sum(figures) == 0:
                raise ValueError(f"weigh: {list(figures)} for {len(among)} candidates; one weight each, not all zero")
            shares = tuple(figure / sum(figures) for figure in figures)
            found.append(
                ChoiceScores(
                    probabilities=shares,
                    logprobs=tuple(math.log(share) if share else -math.inf for share in shares),
                    tokens=tuple(1 if first_token_only else len(each.split()) + include_end_of_turn for each in among),
                    cost=Cost(prompt_tokens=_count_words(question), calls=1),
                )
            )
        return found


def _matches(pattern: str, question: EngineRequest) -> bool:
    return re.search(pattern, f"{format_conversation(question.prompt)}\n{question.prefill}") is not None


def _count_words(question: EngineRequest) -> int:
    return len(format_conversation(question.prompt).split()) + len(question.prefill.split())
