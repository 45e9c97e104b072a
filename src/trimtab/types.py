"""The values that flow through a study: frozen dataclasses that use only the standard library."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from json.encoder import encode_basestring
from typing import Any, Literal

Choice = Literal["a", "b"]
# The response of a pair that is presented first.
Order = Literal["a_first", "b_first"]
Role = Literal["tools", "system", "user", "assistant", "tool"]
Status = Literal["ok", "abstained", "failed"]
# A judge's choice by position: the first response, the second, or a tie.
JudgeChoice = Literal["first", "second", "tie"]
Outcome = Literal["win", "tie", "loss", "failed"]
# Why a row is not a pair of the data.
FailureKind = Literal["failed", "duplicate", "overlong", "excluded"]

ROLES: tuple[Role, ...] = ("tools", "system", "user", "assistant", "tool")


def text_hash(*parts: str) -> str:
    """Hex digest (32 characters) of the parts as a JSON array; the boundaries between parts affect the result."""
    return hashlib.sha256(f"[{', '.join(map(encode_basestring, parts))}]".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. Tool calls are lines of an assistant's text (`core.tool_calls`); a first `tools` turn has their definitions."""

    role: Role
    content: str


Prompt = tuple[Message, ...]


def build_user_prompt(text: str) -> Prompt:
    """Builds a conversation of one user turn."""
    return (Message(role="user", content=text),)


def prompt_hash(prompt: Prompt) -> str:
    """The join key of a prompt for splits, completions and scores."""
    return text_hash(*(part for message in prompt for part in (message.role, message.content)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two responses to one prompt, and the human preference if it is known.

    `id` is a hash of the texts that does not depend on the order of the responses. Build pairs with `Pair.from_responses`,
    which derives the order of `a` and `b` from the hash, so that position carries no information about the label.
    """

    id: str
    prompt: Prompt
    a: str
    b: str
    human: Choice | None = None

    @classmethod
    def from_responses(
        cls, prompt: Prompt, first: str, second: str, preferred: Literal["first", "second"] | None = None
    ) -> Pair:
        """Builds a pair from two responses in any order. Raises `ValueError` if they are the same text."""
        if first == second:
            raise ValueError("the two responses are identical")
        low, high = sorted((first, second))
        pair_id = text_hash(prompt_hash(prompt), low, high)
        a, b = (low, high) if int(pair_id[-1], 16) % 2 == 0 else (high, low)
        human: Choice | None = None
        if preferred is not None:
            human = "a" if (first == a) == (preferred == "first") else "b"
        return cls(id=pair_id, prompt=prompt, a=a, b=b, human=human)

    @property
    def prompt_id(self) -> str:
        return prompt_hash(self.prompt)

    def response(self, choice: Choice) -> str:
        return self.a if choice == "a" else self.b

    def get_choice(self, response: str) -> Choice:
        """Which of the two responses this is."""
        return "a" if response == self.a else "b"

    def length_difference(self, choice: Choice) -> int:
        """Characters of the chosen response minus characters of the other one."""
        return (len(self.a) - len(self.b)) * (1 if choice == "a" else -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFailure:
    """A row of a source that is not a pair of the data. `file` and `row`, counted from 1, are set for rows of files."""

    location: str
    reason: str
    kind: FailureKind = "failed"
    file: str = ""
    row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOrigin:
    """The row of a file that a pair was read from, counted from 1.

    `first` is the response that comes first in the row; `columns` are the columns of both, or empty if one column has both.
    `models` wrote the responses a and b, if the row names them.
    """

    pair_id: str
    file: str
    row: int
    first: Choice
    columns: tuple[str, str] = ("", "")
    models: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The contents of a source: pairs, unusable rows, and the detected layout of the rows.

    Pairs and origins can be on disk; they are then read on access. `origins` has one entry for each row of a file that has one
    of the pairs, so a pair with duplicates has several. `notices` are sentences about rows that were read but look wrong.
    """

    pairs: Sequence[Pair]
    failures: tuple[RowFailure, ...] = ()
    layout: str = ""
    notices: tuple[str, ...] = ()
    origins: Sequence[RowOrigin] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of inference: prompt tokens, generated tokens, seconds of wall-clock time.

    `prompt_tokens` were computed; `cached_tokens` of the prompts came from a prefix cache. `calls` counts engine requests.
    """

    prompt_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    cached_tokens: int = 0
    calls: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Cost)})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """A request to a language model: a conversation, and an optional prefill of the assistant's turn.

    Text shared by many requests comes first, so that an engine can process it once.
    """

    prompt: Prompt
    prefill: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Text that a model generated after the request's `prefill`, without the stop text; empty, with a `note`, if it failed."""

    text: str
    finish_reason: Literal["end", "length"] = "end"
    status: Status = "ok"
    note: str = ""
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceScores:
    """The probability of each candidate continuation.

    `probabilities`: normalized over the candidates, in their order, summing to 1. `logprobs`: summed natural
    log-probabilities of each candidate's tokens; `tokens`: the number of these tokens. Both are None if the engine cannot
    compute them; `samples` is then the number of samples that the probabilities were estimated from. If `status` is failed,
    `probabilities` is empty.
    """

    probabilities: tuple[float, ...]
    logprobs: tuple[float, ...] | None = None
    tokens: tuple[int, ...] | None = None
    samples: int = 0
    status: Status = "ok"
    note: str = ""
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotator's label of one pair.

    `p_a` in [0, 1] is the probability that `a` is better. `margin` is the raw score of `a` minus that of `b`, in the
    annotator's own unit (nats for `implicit_reward`), positive if `a` is preferred. Both are None unless `status` is ok.
    `detail` is a JSON-compatible mapping that explains how the label was made.
    """

    pair_id: str
    p_a: float | None
    margin: float | None = None
    status: Status = "ok"
    note: str = ""
    cost: Cost = field(default_factory=Cost)
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.status == "ok") != (self.p_a is not None):
            raise ValueError(f"annotation of pair {self.pair_id}: status {self.status!r} with p_a={self.p_a}")
        if self.p_a is not None and not 0.0 <= self.p_a <= 1.0:
            raise ValueError(f"annotation of pair {self.pair_id}: p_a must be in [0, 1], got {self.p_a}")

    @property
    def choice(self) -> Choice | None:
        """The preferred response; None if no response is preferred, for example if `p_a` is exactly 0.5."""
        if self.p_a is None or self.p_a == 0.5:
            return None
        return "a" if self.p_a > 0.5 else "b"


def build_human_annotation(pair: Pair) -> Annotation:
    """The pair's human label with probability 1, or an abstention if the pair has no human label."""
    if pair.human is None:
        return Annotation(pair_id=pair.id, p_a=None, status="abstained", note="no human label")
    return Annotation(pair_id=pair.id, p_a=1.0 if pair.human == "a" else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """A training example: a pair with a label applied. `p_chosen` in [0.5, 1] and `weight` >= 0 come from the label."""

    pair_id: str
    prompt: Prompt
    chosen: str
    rejected: str
    p_chosen: float = 1.0
    weight: float = 1.0

    @classmethod
    def from_annotation(cls, pair: Pair, annotation: Annotation) -> Preference | None:
        """Applies a label to a pair; None if the label abstained or failed. Raises `ValueError` if the ids differ."""
        if pair.id != annotation.pair_id:
            raise ValueError(f"annotation of pair {annotation.pair_id} applied to pair {pair.id}")
        choice = annotation.choice
        if choice is None or annotation.p_a is None:
            return None
        return cls(
            pair_id=pair.id,
            prompt=pair.prompt,
            chosen=pair.response(choice),
            rejected=pair.response("b" if choice == "a" else "a"),
            p_chosen=max(annotation.p_a, 1.0 - annotation.p_a),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's response to a prompt, ended by the end-of-turn token, a stop text or the length limit."""

    prompt_id: str
    prompt: Prompt
    text: str
    n_tokens: int
    finish_reason: Literal["end", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scorer's score of one completion. `note`: why a failed score has no value, or what another one left out."""

    prompt_id: str
    value: float | None
    status: Status = "ok"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The input of a judge: two responses to one prompt. `id` is the id of a prompt or of a pair."""

    id: str
    prompt: Prompt
    candidate: str
    baseline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleVerdict:
    """A judge's verdict with the responses in one order.

    `choice` is None if the judge's output could not be parsed; `text` is then the complete output. `probability_first` in
    [0, 1] is the probability of the first response among the possible choices, if the verdict was read from probabilities.
    `scores` are the scores of the first and the second response, if the judge gives scores. `votes` are the choices of repeated
    calls. `criteria` has the probability of the first response by each criterion, if the judge has criteria, with `weights`.
    """

    choice: JudgeChoice | None
    probability_first: float | None = None
    scores: tuple[float, float] | None = None
    text: str = ""
    votes: tuple[JudgeChoice | None, ...] = ()
    criteria: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One judge's comparison of two responses: `forward` with the candidate first, `reversed` with the baseline first.

    `outcome` is the candidate's. Without a query in an order, its verdict is None; identical responses are not queried at all.
    """

    id: str
    outcome: Outcome
    forward: SingleVerdict | None = None
    reversed: SingleVerdict | None = None
    note: str = ""
    cost: Cost = field(default_factory=Cost)

    @property
    def is_order_inconsistent(self) -> bool | None:
        """Whether the judge chose the same position in both orders; None without a choice in both."""
        if self.forward is None or self.reversed is None or self.forward.choice is None or self.reversed.choice is None:
            return None
        return self.forward.choice == self.reversed.choice != "tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric with its 95% confidence interval, the number of rows used and the number of rows that failed.

    `value` is None if there are no rows; `low` and `high` are None if no interval can be computed.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_failed: int = 0


def format_conversation(messages: Sequence[Message]) -> str:
    """Formats a prompt as plain text, with one paragraph per turn that starts with the role."""
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)
