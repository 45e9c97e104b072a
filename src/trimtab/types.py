"""The values that flow through a study: frozen, standard library only, equal when their fields are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Choice = Literal["a", "b"]
# Which response of a pair is read first.
Order = Literal["a_first", "b_first"]
Role = Literal["system", "user", "assistant"]
Status = Literal["ok", "abstained", "failed"]
# What a judge names: the answer that it read first, the one that it read second, or neither.
JudgeChoice = Literal["first", "second", "tie"]
Outcome = Literal["win", "tie", "loss", "failed"]

ROLES: tuple[Role, ...] = ("system", "user", "assistant")


def text_hash(*parts: str) -> str:
    """Hex digest (32 characters) of the parts, unambiguous about where one ends and the next begins."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


Prompt = tuple[Message, ...]


def build_user_prompt(text: str) -> Prompt:
    """A conversation of one user turn."""
    return (Message(role="user", content=text),)


def prompt_hash(prompt: Prompt) -> str:
    """The join key of a prompt: splits, completions and scores meet on it."""
    return text_hash(*(part for message in prompt for part in (message.role, message.content)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two responses to one prompt, and which of them a human preferred, where that is known.

    `id` is the hash of the texts, the same whichever response was named first; build pairs with `Pair.of`, which draws
    the order of `a` and `b` from it, so that the position of a response says nothing of its label.
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
        """The pair of two responses given in any order. Raises `ValueError` when they are the same text."""
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

    def length_difference(self, choice: Choice) -> int:
        """How many characters longer the chosen response is than the other."""
        return (len(self.a) - len(self.b)) * (1 if choice == "a" else -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFailure:
    """A row of a source that could not become a pair: where it stood and why."""

    location: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What a source gave: the pairs, the rows that failed, and how the rows were understood (`layout`)."""

    pairs: tuple[Pair, ...]
    failures: tuple[RowFailure, ...] = ()
    layout: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What an answer took: tokens read, tokens written, seconds of wall clock.

    `prompt_tokens` were computed; `reused_tokens` of the prompts came from a cache of constant beginnings. `calls` counts the
    questions put to a model.
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
    """What a language model is asked: a conversation, and the text with which its answer begins, which may be empty.

    What is the same in many questions stands first, so that an engine can read it once.
    """

    prompt: Prompt
    prefill: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What a model wrote after the question's `begins`, without the stop text. `stop` says what ended it.

    Where `status` is failed, `text` is empty and `note` says why.
    """

    text: str
    finish_reason: Literal["end", "length"] = "end"
    status: Status = "ok"
    note: str = ""
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceScores:
    """How likely each of the candidates is as what comes next.

    `shares`: probabilities over the candidates alone, in their order, summing to 1. `logprobs`: summed natural
    log-probabilities of each candidate's tokens, and `tokens` how many; both None where the engine cannot tell, and then
    `samples` says how many draws the shares were counted over. Where `status` is failed, `shares` is empty.
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
    """What one annotator says of one pair.

    `p_a` in [0, 1] is the probability that `a` is the better; `margin` is the raw score of `a` minus that of `b`, in the
    annotator's own unit (nats for `implicit_reward`), positive where `a` is preferred. Both are None unless `status` is ok.
    `detail` is whatever else a person may want to see of how the label came about, as JSON can hold it.
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
        """The preferred response; None where there is none, which includes p_a of exactly one half."""
        if self.p_a is None or self.p_a == 0.5:
            return None
        return "a" if self.p_a > 0.5 else "b"


def build_human_annotation(pair: Pair) -> Annotation:
    """What people said of the pair, with probability 1; abstained where nobody said."""
    if pair.human is None:
        return Annotation(pair_id=pair.id, p_a=None, status="abstained", note="no human label")
    return Annotation(pair_id=pair.id, p_a=1.0 if pair.human == "a" else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What a trainer eats: a pair with a label applied. `p_chosen` in [0.5, 1] and `weight` >= 0 come from the label."""

    pair_id: str
    prompt: Prompt
    chosen: str
    rejected: str
    p_chosen: float = 1.0
    weight: float = 1.0

    @classmethod
    def from_annotation(cls, pair: Pair, annotation: Annotation) -> Preference | None:
        """The pair under this label, or None where the label abstained or failed. Raises if the ids differ."""
        if pair.id != annotation.pair_id:
            raise ValueError(f"annotation of pair {annotation.pair_id} applied to pair {pair.id}")
        choice = annotation.choice
        if choice is None or annotation.p_a is None:
            return None
        other: Choice = "b" if choice == "a" else "a"
        return cls(
            pair_id=pair.id,
            prompt=pair.prompt,
            chosen=pair.response(choice),
            rejected=pair.response(other),
            p_chosen=max(annotation.p_a, 1.0 - annotation.p_a),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's answer to a prompt. `stop` says what ended it: the end token or the length limit."""

    prompt_id: str
    prompt: Prompt
    text: str
    n_tokens: int
    finish_reason: Literal["end", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One scorer's figure for one completion; `value` is None where `status` is failed, and `note` says why."""

    prompt_id: str
    value: float | None
    status: Status = "ok"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a judge is given: two answers to one prompt, `ours` and `theirs`. `id` is a prompt's or a pair's."""

    id: str
    prompt: Prompt
    candidate: str
    baseline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleVerdict:
    """What a judge said with the answers in one order.

    `named` is None where nothing could be read in what it said, and then `text` is all that it said. `share` in [0, 1] is the
    probability of the answer that stood first among those that it could name, where it was read from probabilities; `scores`
    are those of the first and the second answer, where it gives some. `votes` are what it named each time that it was asked.
    """

    choice: JudgeChoice | None
    probability_first: float | None = None
    scores: tuple[float, float] | None = None
    text: str = ""
    votes: tuple[JudgeChoice | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One judge's comparison of two answers, asked `there`, with ours first, and `back`, with theirs first.

    `outcome` is that of our answer. Both readings are None where the judge was not asked, since the answers are the same text.
    """

    id: str
    outcome: Outcome
    forward: SingleVerdict | None = None
    reversed: SingleVerdict | None = None
    note: str = ""
    cost: Cost = field(default_factory=Cost)

    @property
    def is_order_inconsistent(self) -> bool | None:
        """Whether the judge named the same place in both orders, and so no answer; None where one order cannot be read."""
        if self.forward is None or self.reversed is None or self.forward.choice is None or self.reversed.choice is None:
            return None
        return self.forward.choice == self.reversed.choice != "tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure with its 95 % interval, the number of rows it rests on and the number that failed.

    `value` is None where there is nothing to average; `low` and `high` are None where no interval can be given.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_failed: int = 0


def format_conversation(messages: Sequence[Message]) -> str:
    """A prompt as plain text for people: one turn a paragraph, the role before it."""
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)
