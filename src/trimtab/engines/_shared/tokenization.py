"""What is asked, and what is answered, as tokens: the same for every engine that has the model's own tokenizer. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.models.chat import ChatTokenizer
from trimtab.types import Cost, EngineRequest, Generation


def encode_request(chat: ChatTokenizer, question: EngineRequest) -> list[int]:
    """The conversation and how its answer begins."""
    return chat.encode_prompt(question.prompt) + chat.encode_text(question.prefill)


def encode_candidates(
    chat: ChatTokenizer, question: EngineRequest, among: Sequence[str]
) -> tuple[list[int], list[list[int]]]:
    """The text up to where the candidates part, and what is left of each: one token at least.

    Candidates are tokenized together with the text before them, as the model would have written them.
    """
    prompt = chat.encode_prompt(question.prompt)
    whole = [prompt + chat.encode_text(question.prefill + each) for each in among]
    most = min(map(len, whole)) - 1
    parted = next((place for place in range(most) if len({ids[place] for ids in whole}) > 1), most)
    # candidates are weighed as they stand where there is but one
    parted = parted if len(whole) > 1 else len(encode_request(chat, question))
    return whole[0][:parted], [ids[parted:] for ids in whole]


def select_scored_tokens(rest: Sequence[list[int]], end: Sequence[int], *, first_token: bool) -> list[list[int]]:
    """What is weighed of what is left of each candidate: where they part alone, or all of it with what is to end it."""
    return [each[:1] if first_token else [*each, *end] for each in rest]


def decode_generation(
    chat: ChatTokenizer, ids: Sequence[int], stop: Sequence[str], cost: Cost, *, finished: bool = False
) -> Generation:
    """The text before the first stop text. `over`: a stop text or the end of the turn is known to have ended it."""
    text = chat.decode(ids)
    marks = [text.index(mark) for mark in stop if mark in text]
    finished = finished or bool(marks) or (bool(ids) and ids[-1] in chat.stop_token_ids)
    reply = Generation(
        text=text[: min(marks)].rstrip() if marks else text, finish_reason="end" if finished else "length", cost=cost
    )
    return reply if reply.text or finished else replace(reply, note="nothing was written")


def softmax(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Softmax over the candidates."""
    top = max(logprobs)
    raw = [math.exp(each - top) for each in logprobs]
    return tuple(each / sum(raw) for each in raw)


@dataclass(frozen=True, slots=True)
class ScoringStep:
    """A place within some candidates: the tokens that stand `before` it, and those that any of them has there."""

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]


def build_scoring_steps(rest: Sequence[Sequence[int]], most: int) -> list[ScoringStep]:
    """Every place within the candidates once, where they begin alike too; at most so many tokens a step."""
    found: dict[tuple[int, ...], dict[int, None]] = {}
    for ids in rest:
        for place, token in enumerate(ids):
            found.setdefault(tuple(ids[:place]), {})[token] = None
    return [
        ScoringStep(before, tuple(tokens)[start : start + most])
        for before, tokens in found.items()
        for start in range(0, len(tokens), most)
    ]
