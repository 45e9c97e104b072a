"""How long a prompt is, about, and how the texts of a pair are shortened in sight where it would be too long."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.prompts.seam import OrderedPair
from trimtab.types import EngineRequest, format_conversation

# Longer than any word: what has no space for so long is a script that has none, or code.
_LONGEST_WORD = 32
_WORD = re.compile(r"\s*\S+")
_IN_WORD = re.compile(rf"\s*(?:[A-Za-z0-9_'-]{{1,{_LONGEST_WORD}}}|\S)")
# A text of which less is left has lost what it said.
MIN_KEPT_FRACTION = 0.1
_PIECE = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")


def estimate_tokens(text: str) -> int:
    """An estimate that no tokenizer is needed for, on the high side for English: a token for every five letters of a word
    begun, and one for every digit, sign and letter of other scripts."""
    return sum(math.ceil(len(piece) / 5) for piece in _PIECE.findall(text))


def estimate_request_tokens(question: EngineRequest) -> int:
    return estimate_tokens(format_conversation(question.prompt)) + estimate_tokens(question.prefill)


def compute_length_limit(lengths: Sequence[int], room: int) -> int:
    """The length to cut all texts to, so that together they fill the room: short ones stay whole, long ones are cut alike."""
    left, among = room, sorted(lengths)
    for place, length in enumerate(among):
        share = left // (len(among) - place)
        if length > share:
            return share
        left -= length
    return among[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedText:
    """A text with `left_out` of its words gone, `kept` of them, in [0, 1], still there."""

    text: str
    words_removed: int = 0
    kept_fraction: float = 1.0


def truncate_middle(text: str, limit: int) -> TruncatedText:
    """The text within about `limit` tokens. What is left out is of the middle, which a mark tells of.

    In what has no spaces, as Chinese or Thai, every letter counts as a word.
    """
    if estimate_tokens(text) <= limit:
        return TruncatedText(text=text)
    words = _split_words(text)
    low, high = 0, len(words) - 1
    while low < high:  # the most words that fit; more words are never fewer tokens
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimate_tokens(_drop_middle(words, middle)) <= limit else (low, middle - 1)
    return TruncatedText(text=_drop_middle(words, low), words_removed=len(words) - low, kept_fraction=low / len(words))


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedPair:
    """A case whose texts were shortened, the words left out of all three, and the share of its words that the text kept that
    lost most."""

    ordered_pair: OrderedPair
    words_removed: int
    kept_fraction: float


def truncate_pair(case: OrderedPair, room: int) -> TruncatedPair:
    """The case with its three texts in about `room` tokens together; all long texts are cut alike."""
    texts = (case.conversation, case.first, case.second)
    limit = compute_length_limit([estimate_tokens(text) for text in texts], room)
    parts = [truncate_middle(text, limit) for text in texts]
    conversation_, first, second = (each.text for each in parts)
    return TruncatedPair(
        ordered_pair=OrderedPair(conversation=conversation_, first=first, second=second),
        words_removed=sum(each.words_removed for each in parts),
        kept_fraction=min(each.kept_fraction for each in parts),
    )


def _split_words(text: str) -> list[str]:
    """The text's words, each with the space before it."""
    return [
        piece
        for word in _WORD.findall(text)
        for piece in ([word] if len(word.strip()) <= _LONGEST_WORD else _IN_WORD.findall(word))
    ]


def _drop_middle(words: Sequence[str], count: int) -> str:
    """The first and last of the words, `count` in all."""
    head, tail = count - count // 2, count // 2
    end = "".join(words[len(words) - tail :])
    return f"{''.join(words[:head])} [... {len(words) - count} words left out ...]{end}".strip()
