"""The `scripted` engine: rules instead of a model, for tests and experiments."""

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
    """Answers with fixed rules instead of a model, for tests and experiments.

    `replies` and `choice_weights` map regular expressions to replies and to candidate weights; the first pattern found in
    the text of the request applies. If none matches, the reply is `default_reply` and all candidates have the same weight.

    `choice_weights` lists one weight per candidate, in order; only their ratios matter.
    """

    replies: Mapping[str, str] = Field(default_factory=dict)
    choice_weights: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    default_reply: str = ""

    @field_validator("replies", "choice_weights")
    @classmethod
    def _validate_patterns(cls, rules: Mapping[str, T]) -> Mapping[str, T]:
        for pattern in rules:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return rules

    @field_validator("choice_weights")
    @classmethod
    def _validate_weights(cls, rules: Mapping[str, tuple[float, ...]]) -> Mapping[str, tuple[float, ...]]:
        for pattern, weights in rules.items():
            if any(weight < 0 for weight in weights) or not 0 < sum(weights) < math.inf:
                raise ValueError(
                    f"{pattern!r}: weights must be non-negative with a positive, finite sum, got {list(weights)}"
                )
        return rules

    def start(self, runtime: Runtime) -> ScriptedEngine:
        del runtime
        return ScriptedEngine(reply=self._find_reply, choice_weights=self._find_weights)

    def content_hash(self) -> str:
        return hashlib.sha256(json.dumps(self.model_dump(mode="json")).encode()).hexdigest()[:16]

    def _find_reply(self, request: EngineRequest) -> str:
        return next((text for pattern, text in self.replies.items() if _matches(pattern, request)), self.default_reply)

    def _find_weights(self, request: EngineRequest, candidates: Sequence[str]) -> Sequence[float]:
        for pattern, weights in self.choice_weights.items():
            if _matches(pattern, request):
                if len(weights) != len(candidates):
                    raise ValueError(
                        f"choice_weights.{pattern}: {len(weights)} weights for {len(candidates)} candidates"
                    )
                return weights
        return [1.0] * len(candidates)


@dataclass(frozen=True, slots=True)
class ScriptedEngine:
    """Answers by two functions of the request. `requests` records every request in order.

    `choice_weights` returns weights whose ratios are the candidates' probabilities. A token is a word.
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
        object.__setattr__(self, "reply_fn", reply)
        object.__setattr__(self, "weights_fn", choice_weights)
        object.__setattr__(self, "requests", [])

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
        return [self._generate_one(request, max_new_tokens, stop) for request in requests]

    def _generate_one(self, request: EngineRequest, max_new_tokens: int, stop: Sequence[str]) -> Generation:
        self.requests.append(request)
        text = self.reply_fn(request)
        for stop_text in stop:
            text = text.split(stop_text, 1)[0]
        words = text.split(" ") if text else []
        return Generation(
            text=" ".join(words[:max_new_tokens]),
            finish_reason="length" if len(words) > max_new_tokens else "end",
            cost=Cost(prompt_tokens=_count_words(request), generated_tokens=min(len(words), max_new_tokens), calls=1),
        )

    def score_choices(
        self,
        requests: Sequence[EngineRequest],
        candidates: Sequence[Sequence[str]],
        *,
        first_token_only: bool = False,
        include_end_of_turn: bool = False,
    ) -> list[ChoiceScores]:
        scores = []
        for request, choices in zip(requests, candidates, strict=True):
            self.requests.append(request)
            weights = self.weights_fn(request, choices)
            if len(weights) != len(choices) or sum(weights) == 0:
                raise ValueError(
                    f"choice_weights returned {list(weights)} for {len(choices)} candidates; expected one weight each, not "
                    "all zero"
                )
            probabilities = tuple(weight / sum(weights) for weight in weights)
            scores.append(
                ChoiceScores(
                    probabilities=probabilities,
                    logprobs=tuple(math.log(p) if p else -math.inf for p in probabilities),
                    tokens=tuple(
                        1 if first_token_only else len(choice.split()) + include_end_of_turn for choice in choices
                    ),
                    cost=Cost(prompt_tokens=_count_words(request), calls=1),
                )
            )
        return scores


def _matches(pattern: str, request: EngineRequest) -> bool:
    return re.search(pattern, f"{format_conversation(request.prompt)}\n{request.prefill}") is not None


def _count_words(request: EngineRequest) -> int:
    return len(format_conversation(request.prompt).split()) + len(request.prefill.split())
