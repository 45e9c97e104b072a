"""How long a prompt is, about, and how the texts of a pair are shortened in sight where it would be too long."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from trimtab.prompts.seam import Case
from trimtab.types import Question, conversation

_PIECE = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")


def tokens(text: str) -> int:
    """An estimate that no tokenizer is needed for, on the high side for English: a token for every five letters of a word
    begun, and one for every digit, sign and letter of other scripts."""
    return sum(math.ceil(len(piece) / 5) for piece in _PIECE.findall(text))


def asked_tokens(question: Question) -> int:
    return tokens(conversation(question.prompt)) + tokens(question.begins)


def level(lengths: Sequence[int], room: int) -> int:
    """The length to cut all texts to, so that together they fill the room: short ones stay whole, long ones are cut alike."""
    left, among = room, sorted(lengths)
    for place, length in enumerate(among):
        share = left // (len(among) - place)
        if length > share:
            return share
        left -= length
    return among[-1]


def shortened(text: str, limit: int) -> tuple[str, int]:
    """The text within about `limit` tokens, and how many words were left out: from the middle, which a mark tells of."""
    if tokens(text) <= limit:
        return text, 0
    words = re.findall(r"\s*\S+", text)
    low, high = 0, len(words) - 1
    while low < high:  # the most words that fit; more words are never fewer tokens
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokens(_without(words, middle)) <= limit else (low, middle - 1)
    return _without(words, low), len(words) - low


def fitted(case: Case, room: int) -> tuple[Case, int]:
    """The case with its three texts in about `room` tokens together, and the words left out; all long texts are cut alike."""
    texts = (case.conversation, case.first, case.second)
    limit = level([tokens(text) for text in texts], room)
    (conversation_, first, second), left_out = zip(*(shortened(text, limit) for text in texts), strict=True)
    return Case(conversation=conversation_, first=first, second=second), sum(left_out)


def _without(words: Sequence[str], count: int) -> str:
    """The first and last of the words, `count` in all."""
    head, tail = count - count // 2, count // 2
    end = "".join(words[len(words) - tail :])
    return f"{''.join(words[:head])} [... {len(words) - count} words left out ...]{end}".strip()
