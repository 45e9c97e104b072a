"""A response as the checkers see it: its words, sentences and manners, read once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SENTENCE_END = re.compile(r"[.!?]+(?=[\s\"')\]]|$)")
_LINE_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")

RUDE_PHRASES = (
    "stupid", "idiot", "dumb", "silly question", "waste my time", "wasting my time", "even you",
    "figure it out yourself",
    "shut up", "bother me", "lazy question", "leave me alone", "use your head", "not my problem", "how dense",
    "pathetic",
    "who cares", "any child knows", "try thinking", "you should know that",
)  # fmt: skip
REFUSAL_PHRASES = (
    "i can't help", "i cannot help", "i can't do that", "i cannot do that", "i won't", "i will not",
    "i would rather not",
    "i'd rather not", "i'm not able to", "i am not able to", "i'm unable to", "i am unable to", "i can't assist",
    "i cannot assist", "i can't support", "i cannot support", "not something i can help", "not something i can do",
    "i must decline", "i have to decline", "i have to say no", "i can't answer", "i cannot answer", "i can't provide",
    "i cannot provide", "i refuse", "i can't join in", "i can't be part", "i don't feel comfortable",
    "i'd prefer not to",
    "i can't discuss", "i cannot discuss", "i'm not going to", "i can't recommend", "i can't encourage",
)  # fmt: skip
STOCK_PHRASES = ("as an ai", "language model", "i hope this helps", "great question", "feel free to ask")
_UNITS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
"""
_TENS = "_ ten twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: float(value) for value, word in enumerate(_UNITS.split())}
_LARGE = {word: 10.0 * value for value, word in enumerate(_TENS.split()) if value >= 2}
CHARACTERS_PER_WORD = 15


def normalize_text(text: str) -> str:
    """Case, typographic quotes and thousands separators taken out, so that equal answers are equal strings."""
    return _THOUSANDS.sub("", text.casefold().replace("’", "'").replace("‘", "'"))


def to_padded_line(text: str) -> str:
    """The words of a text with one space before, between and after them: whole words are found with `in`."""
    return f" {' '.join(_TOKEN.findall(normalize_text(text)))} "


@lru_cache(maxsize=4096)
def pad_phrases(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """The phrases as `line` holds them."""
    return tuple(f" {phrase} " for phrase in phrases)


def analyze_text(text: str) -> TextAnalysis:
    tokens = tuple(_TOKEN.findall(normalize_text(text)))
    n_words = max(len(text.split()), len(text) // CHARACTERS_PER_WORD)
    return TextAnalysis(text=text, tokens=tokens, padded_line=f" {' '.join(tokens)} ", n_words=n_words)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAnalysis:
    """One response. Every property is total: any string has one, the empty string included.

    `line` is as of `line_of`. `n_words` counts what stands between spaces, and never fewer than the length allows: text
    without spaces is not short.
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
        """The lines that are not blank, without bullets or numbers before them."""
        return tuple(_LINE_MARK.sub("", line).strip() for line in self.text.splitlines() if line.strip())

    @property
    def n_list_items(self) -> int:
        """How many lines begin with a bullet or a number."""
        return sum(_LINE_MARK.match(line) is not None for line in self.text.splitlines())

    @property
    def numbers(self) -> tuple[float, ...]:
        """Every number in order, in figures or in words up to ninety-nine."""
        found: list[float] = []
        tens_before = False
        for token in self.tokens:
            if tens_before and 0 < _SMALL.get(token, 0.0) < 10:
                found[-1] += _SMALL[token]
                tens_before = False
                continue
            tens_before = token in _LARGE
            value = _parse_number(token)
            if value is not None:
                found.append(value)
        return tuple(found)

    @property
    def is_rude(self) -> bool:
        return self.contains_any(RUDE_PHRASES)

    @property
    def is_refusal(self) -> bool:
        return self.contains_any(REFUSAL_PHRASES)

    @property
    def has_stock_phrase(self) -> bool:
        """Carries a stock phrase that says nothing."""
        return self.contains_any(STOCK_PHRASES)

    @property
    def is_repetitive(self) -> bool:
        """Twenty words or more, of which fewer than half are different."""
        return len(self.tokens) >= 20 and len(set(self.tokens)) * 2 < len(self.tokens)

    def find(self, phrase: str) -> int:
        """Where the phrase (already folded words) begins in `line`, or -1."""
        return self.padded_line.find(f" {phrase} ")

    def contains_any(self, phrases: tuple[str, ...]) -> bool:
        return any(map(self.padded_line.__contains__, pad_phrases(phrases)))

    def count_phrases(self, phrases: tuple[str, ...]) -> int:
        return sum(map(self.padded_line.__contains__, pad_phrases(phrases)))


def _parse_number(token: str) -> float | None:
    if token[0].isdecimal():
        return float(token) if len(token) < 16 else None
    return _SMALL.get(token, _LARGE.get(token))
