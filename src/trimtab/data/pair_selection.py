"""Selects two of several responses to one prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Literal

from trimtab.types import text_hash

# The largest number of responses of one model to a prompt.
MAX_RESPONSES = 64
SelectionRule = Literal["random", "most_different", "best_worst"]
_WORD = re.compile(r"\w+")


def find_distinct(texts: Sequence[str]) -> list[int]:
    """The indices of the first of each text, ignoring surrounding white space, without empty ones."""
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if text.strip():
            first.setdefault(text.strip(), index)
    return list(first.values())


def select_random(texts: Sequence[str], key: str) -> tuple[int, int] | None:
    """Two distinct texts, which depend only on the texts and on `key`; None if there are fewer than two."""
    indices = sorted(find_distinct(texts), key=lambda index: text_hash(key, texts[index]))
    return (indices[0], indices[1]) if len(indices) > 1 else None


def select_most_different(texts: Sequence[str], key: str) -> tuple[int, int] | None:
    """The two distinct texts with the lowest Jaccard similarity of their sets of words, in [0, 1]. Ties: as `select_random`."""
    words = {index: {word.lower() for word in _WORD.findall(texts[index])} for index in find_distinct(texts)}
    pairs = combinations(sorted(words, key=lambda index: text_hash(key, texts[index])), 2)
    return min(pairs, key=lambda pair: compute_jaccard(words[pair[0]], words[pair[1]]), default=None)


def select_best_worst(texts: Sequence[str], scores: Sequence[float | None]) -> tuple[int, int] | None:
    """The distinct texts with the highest and the lowest score. None if fewer than two have different scores."""
    scored = [(score, index) for index in find_distinct(texts) if (score := scores[index]) is not None]
    if len(scored) < 2 or max(scored)[0] == min(scored)[0]:
        return None
    return max(scored)[1], min(scored)[1]


def compute_jaccard(a: set[str], b: set[str]) -> float:
    """The size of the intersection over that of the union; 1 for two empty sets."""
    return len(a & b) / len(a | b) if a | b else 1.0
