"""Estimates prompt lengths and truncates the texts of pairs that are too long, with a visible mark."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.prompts.seam import OrderedPair
from trimtab.types import EngineRequest, format_conversation

# Longer than any word: text without spaces for so long is code, or a script without spaces.
_MAX_WORD_LENGTH = 32
_WORD = re.compile(r"\s*\S+")
_WORD_PART = re.compile(rf"\s*(?:[A-Za-z0-9_'-]{{1,{_MAX_WORD_LENGTH}}}|\S)")
# A text that keeps less than this fraction of its words has lost its meaning.
MIN_RETAINED_FRACTION = 0.1
_TOKEN_LIKE = re.compile(r"[A-Za-z]+|[^\sA-Za-z]")


def estimate_tokens(text: str) -> int:
    """Estimates the number of tokens without a tokenizer, on the high side for English.

    Counts one token per five letters of a word (rounded up), and one per digit, sign, and letter of other scripts.
    """
    return sum(math.ceil(len(piece) / 5) for piece in _TOKEN_LIKE.findall(text))


def estimate_request_tokens(request: EngineRequest) -> int:
    return estimate_tokens(format_conversation(request.prompt)) + estimate_tokens(request.prefill)


def compute_length_limit(lengths: Sequence[int], budget: int) -> int:
    """The common limit at which texts of these lengths fill the budget.

    Shorter texts are unchanged, and longer ones are cut to that length.
    """
    remaining, ordered = budget, sorted(lengths)
    for index, length in enumerate(ordered):
        limit = remaining // (len(ordered) - index)
        if length > limit:
            return limit
        remaining -= length
    return ordered[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedText:
    """A text, the number of words removed from it, and the fraction of words kept, in [0, 1]."""

    text: str
    words_removed: int = 0
    retained_fraction: float = 1.0


def truncate_middle(text: str, limit: int) -> TruncatedText:
    """Truncates the text to about `limit` tokens by replacing its middle with a mark.

    In scripts without spaces, such as Chinese or Thai, each letter counts as a word.
    """
    if estimate_tokens(text) <= limit:
        return TruncatedText(text=text)
    words = _split_words(text)
    low, high = 0, len(words) - 1
    while low < high:  # finds the most words that fit: more words never have fewer tokens
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimate_tokens(_drop_middle(words, middle)) <= limit else (low, middle - 1)
    return TruncatedText(
        text=_drop_middle(words, low), words_removed=len(words) - low, retained_fraction=low / len(words)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedPair:
    """A pair with truncated texts, the number of words removed from all three, and the smallest kept fraction of a text."""

    ordered_pair: OrderedPair
    words_removed: int
    retained_fraction: float


def truncate_pair(pair: OrderedPair, budget: int) -> TruncatedPair:
    """Truncates the three texts to about `budget` tokens in total, all long texts to the same length."""
    texts = (pair.conversation, pair.first, pair.second)
    limit = compute_length_limit([estimate_tokens(text) for text in texts], budget)
    parts = [truncate_middle(text, limit) for text in texts]
    conversation, first, second = (part.text for part in parts)
    return TruncatedPair(
        ordered_pair=OrderedPair(conversation=conversation, first=first, second=second),
        words_removed=sum(part.words_removed for part in parts),
        retained_fraction=min(part.retained_fraction for part in parts),
    )


def _split_words(text: str) -> list[str]:
    """The words of a text, each with its preceding whitespace."""
    return [
        part
        for word in _WORD.findall(text.rstrip())
        for part in ([word] if len(word.strip()) <= _MAX_WORD_LENGTH else _WORD_PART.findall(word))
    ]


def _drop_middle(words: Sequence[str], count: int) -> str:
    """The first and the last words, `count` in total, with a mark between them."""
    head, tail = count - count // 2, count // 2
    end = "".join(words[len(words) - tail :])
    return f"{''.join(words[:head])} [... {len(words) - count} words left out ...]{end}".strip()
