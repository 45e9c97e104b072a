"""Checkers: a score for the content of a response, times factors for brevity and manners. Checkers are deterministic and accept
any string."""

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
    """A checker from a content scorer in [0, 1]. `short`, `fair` and `long` are the word counts of `brevity_factor`."""

    def check(text: str) -> float:
        analysis = analyze_text(text)
        if not analysis.tokens:
            return 0.0
        value = scorer(analysis) * brevity_factor(analysis.n_words, short, fair, long) * manners_factor(analysis)
        if analysis.is_refusal and not may_refuse:
            value *= 0.3
        return round(min(1.0, max(0.0, value)), 3)

    return check


def brevity_factor(n_words: int, short: int, fair: int, long: int) -> float:
    """1 up to `short` words, 0.9 at `fair`, 0.2 at `long`, decreasing to 0.02 at four times `long`."""
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
    """1 if only the correct answer is named, less if wrong ones are named as well, in particular before it."""
    right_lines = tuple(to_padded_line(text) for text in right)
    wrong_lines = tuple(to_padded_line(text) for text in wrong)

    def score(analysis: TextAnalysis) -> float:
        line = analysis.padded_line
        right_positions = [line.find(text) for text in right_lines if text in line]
        wrong_positions = [line.find(text) for text in wrong_lines if text in line]
        if not right_positions:
            return WRONG_SCORE
        if not wrong_positions:
            return 1.0
        return HEDGED_SCORE if min(right_positions) <= min(wrong_positions) else MENTIONED_SCORE

    return score


def number_scorer(value: float, givens: tuple[float, ...] = ()) -> ContentScorer:
    """1 if the response names only the correct number, 0.7 if it names it last. Ignores `givens`, numbers in the question."""

    def score(analysis: TextAnalysis) -> float:
        numbers = list(analysis.numbers)
        for given in givens:
            if given in numbers and (given != value or numbers.count(given) > 1):
                numbers.remove(given)
        if not numbers:
            return WRONG_SCORE / 2
        if all(_equal(number, value) for number in numbers):
            return 1.0
        if _equal(numbers[-1], value):
            return 0.7
        if any(_equal(number, value) for number in numbers):
            return MENTIONED_SCORE
        return WRONG_SCORE

    return score


def _equal(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def answer_only_scorer(scorer: ContentScorer, n_words: int = 2) -> ContentScorer:
    """The answer only: text around it costs 35%."""
    return lambda analysis: scorer(analysis) * (1.0 if analysis.n_words <= n_words else 0.65)


def full_sentence_scorer(scorer: ContentScorer, n_words: int = 4) -> ContentScorer:
    """One complete sentence: a bare answer costs 45%, a second sentence 25%."""

    def score(analysis: TextAnalysis) -> float:
        if analysis.n_words < n_words:
            return scorer(analysis) * 0.55
        return scorer(analysis) * (1.0 if analysis.n_sentences == 1 else 0.75)

    return score


def topic_scorer(topic: tuple[str, ...], enough: int = 2) -> ContentScorer:
    """The number of topic words in the response, relative to `enough`, at most 1."""
    return lambda analysis: max(WRONG_SCORE / 2, min(1.0, analysis.count_phrases(topic) / enough))


def product_scorer(*scorers: ContentScorer) -> ContentScorer:
    def score(analysis: TextAnalysis) -> float:
        return math.prod(scorer(analysis) for scorer in scorers)

    return score


def rule_scorer(follows_rule: Callable[[TextAnalysis], bool], else_factor: float = 0.4) -> ContentScorer:
    """1 if the response follows the rule, otherwise `else_factor`."""
    return lambda analysis: 1.0 if follows_rule(analysis) else else_factor
