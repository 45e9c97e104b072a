"""Text analysis for the checkers: words, sentences, numbers, and phrases that mark a response as rude or as a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from trimtab.starter.texts import Texts

_TEXTS = Texts("text_analysis")

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++(?=[\s\"')\]]|$)")
_LINE_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")

_UNITS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
"""
_TENS = "_ ten twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: float(value) for value, word in enumerate(_UNITS.split())}
_LARGE = {word: 10.0 * value for value, word in enumerate(_TENS.split()) if value >= 2}
CHARACTERS_PER_WORD = 15


def normalize_text(text: str) -> str:
    """Normalizes case, typographic quotes and thousands separators, so that equal answers are equal strings."""
    return _THOUSANDS.sub("", text.casefold().replace("’", "'").replace("‘", "'"))


def to_padded_line(text: str) -> str:
    """The words of a text with one space before, between and after them, so that `in` matches whole words only."""
    return f" {' '.join(_TOKEN.findall(normalize_text(text)))} "


@lru_cache(maxsize=4096)
def pad_phrases(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """The phrases with a space on either side, as in `TextAnalysis.padded_line`."""
    return tuple(f" {phrase} " for phrase in phrases)


def analyze_text(text: str) -> TextAnalysis:
    tokens = tuple(_TOKEN.findall(normalize_text(text)))
    n_words = max(len(text.split()), len(text) // CHARACTERS_PER_WORD)
    return TextAnalysis(text=text, tokens=tokens, padded_line=f" {' '.join(tokens)} ", n_words=n_words)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAnalysis:
    """One response. All properties are defined for any string, including the empty string.

    `padded_line` is the result of `to_padded_line`. `n_words` counts words separated by spaces, at least one per 15 characters,
    so that text without spaces does not count as short.
    """

    text: str
    tokens: tuple[str, ...]
    padded_line: str
    n_words: int

    @property
    def n_sentences(self) -> int:
        text = self.text.strip()
        ends = list(_SENTENCE_END.finditer(text))
        tail = text[ends[-1].end() :] if ends else text
        return len(ends) + (1 if _TOKEN.search(tail) else 0)

    @property
    def lines(self) -> tuple[str, ...]:
        """The nonblank lines, without leading bullets or numbers."""
        return tuple(_LINE_MARK.sub("", line).strip() for line in self.text.splitlines() if line.strip())

    @property
    def n_list_items(self) -> int:
        """The number of lines that begin with a bullet or a number."""
        return sum(_LINE_MARK.match(line) is not None for line in self.text.splitlines())

    @property
    def numbers(self) -> tuple[float, ...]:
        """All numbers in order, as digits or as words up to ninety-nine."""
        numbers: list[float] = []
        tens_before = False
        for token in self.tokens:
            if tens_before and 0 < _SMALL.get(token, 0.0) < 10:
                numbers[-1] += _SMALL[token]
                tens_before = False
                continue
            tens_before = token in _LARGE
            value = _parse_number(token)
            if value is not None:
                numbers.append(value)
        return tuple(numbers)

    @property
    def is_rude(self) -> bool:
        return self.contains_any(_TEXTS.phrases("rude_phrases"))

    @property
    def is_refusal(self) -> bool:
        return self.contains_any(_TEXTS.phrases("refusal_phrases"))

    @property
    def has_stock_phrase(self) -> bool:
        """Whether the response contains a boilerplate phrase."""
        return self.contains_any(_TEXTS.phrases("stock_phrases"))

    @property
    def is_repetitive(self) -> bool:
        """Whether fewer than half of at least twenty words are distinct."""
        return len(self.tokens) >= 20 and len(set(self.tokens)) * 2 < len(self.tokens)

    def find(self, phrase: str) -> int:
        """The position of a normalized phrase in `padded_line`, or -1."""
        return self.padded_line.find(f" {phrase} ")

    def contains_any(self, phrases: tuple[str, ...]) -> bool:
        return any(map(self.padded_line.__contains__, pad_phrases(phrases)))

    def count_phrases(self, phrases: tuple[str, ...]) -> int:
        return sum(map(self.padded_line.__contains__, pad_phrases(phrases)))


def _parse_number(token: str) -> float | None:
    if token[0].isdecimal():
        return float(token) if len(token) < 16 else None
    return _SMALL.get(token, _LARGE.get(token))
