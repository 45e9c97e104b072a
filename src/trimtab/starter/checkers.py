"""Checkers: a core that judges what was said, times brevity and manners. Every checker is total and deterministic."""

from __future__ import annotations

import math
from collections.abc import Callable

from trimtab.starter.item import Checker
from trimtab.starter.text_analysis import TextAnalysis, analyze_text, to_padded_line

ContentScorer = Callable[[TextAnalysis], float]

WRONG_SCORE = 0.12
HEDGED_SCORE = 0.4
MENTIONED_SCORE = 0.25


def build_checker(
    scorer: ContentScorer, *, short: int = 8, fair: int = 14, long: int = 45, may_refuse: bool = False
) -> Checker:
    """The checker of a core in [0, 1]. Up to `short` words cost nothing, `fair` words a tenth, `long` words most."""

    def check(text: str) -> float:
        reading = analyze_text(text)
        if not reading.tokens:
            return 0.0
        value = scorer(reading) * brevity_factor(reading.n_words, short, fair, long) * manners_factor(reading)
        if reading.is_refusal and not may_refuse:
            value *= 0.3
        return round(min(1.0, max(0.0, value)), 3)

    return check


def brevity_factor(n_words: int, short: int, fair: int, long: int) -> float:
    """1 up to `short` words, 0.9 at `fair`, 0.2 at `long`, falling towards 0.02 at four times `long`."""
    if n_words <= short:
        return 1.0
    if n_words <= fair:
        return 1.0 - 0.1 * (n_words - short) / (fair - short)
    if n_words <= long:
        return 0.9 - 0.7 * (n_words - fair) / (long - fair)
    return max(0.02, 0.2 * (1.0 - (n_words - long) / (3 * long)))


def manners_factor(analysis: TextAnalysis) -> float:
    factor = 1.0
    if analysis.is_rude:
        factor *= 0.45
    if analysis.has_stock_phrase:
        factor *= 0.85
    if analysis.is_repetitive:
        factor *= 0.5
    return factor


def answer_scorer(right: tuple[str, ...], wrong: tuple[str, ...]) -> ContentScorer:
    """Whether the right answer is named, and named before any of the wrong ones."""
    rights = tuple(to_padded_line(text) for text in right)
    wrongs = tuple(to_padded_line(text) for text in wrong)

    def core(reading: TextAnalysis) -> float:
        line = reading.padded_line
        found = [line.find(text) for text in rights if text in line]
        missed = [line.find(text) for text in wrongs if text in line]
        if not found:
            return WRONG_SCORE
        if not missed:
            return 1.0
        return HEDGED_SCORE if min(found) <= min(missed) else MENTIONED_SCORE

    return core


def number_scorer(value: float, givens: tuple[float, ...] = ()) -> ContentScorer:
    """Whether the number said, apart from those that the question gave, is the right one."""

    def core(reading: TextAnalysis) -> float:
        said = list(reading.numbers)
        for given in givens:
            if given in said and (given != value or said.count(given) > 1):
                said.remove(given)
        if not said:
            return WRONG_SCORE / 2
        if all(_equal(one, value) for one in said):
            return 1.0
        if _equal(said[-1], value):
            return 0.7
        if any(_equal(one, value) for one in said):
            return MENTIONED_SCORE
        return WRONG_SCORE

    return core


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def answer_only_scorer(core: ContentScorer, n_words: int = 2) -> ContentScorer:
    """The answer and nothing else: a sentence around it costs a third."""
    return lambda reading: core(reading) * (1.0 if reading.n_words <= n_words else 0.65)


def whole_sentence_scorer(core: ContentScorer, n_words: int = 4) -> ContentScorer:
    """One whole sentence: a bare answer costs nearly a half, a second sentence a quarter."""

    def judged(reading: TextAnalysis) -> float:
        if reading.n_words < n_words:
            return core(reading) * 0.55
        return core(reading) * (1.0 if reading.n_sentences == 1 else 0.75)

    return judged


def topic_scorer(topic: tuple[str, ...], enough: int = 2) -> ContentScorer:
    """How many words of the topic come up: `enough` of them make 1."""
    return lambda reading: max(WRONG_SCORE / 2, min(1.0, reading.count_phrases(topic) / enough))


def product_scorer(*cores: ContentScorer) -> ContentScorer:
    def core(reading: TextAnalysis) -> float:
        return math.prod(one(reading) for one in cores)

    return core


def rule_scorer(follows_rule: Callable[[TextAnalysis], bool], else_factor: float = 0.4) -> ContentScorer:
    """A rule that a response keeps (1) or breaks (`else_factor`)."""
    return lambda reading: 1.0 if follows_rule(reading) else else_factor
