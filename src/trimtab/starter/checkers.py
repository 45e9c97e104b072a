"""Checkers: a core that judges what was said, times brevity and manners. Every checker is total and deterministic."""

from __future__ import annotations

import math
from collections.abc import Callable

from trimtab.starter.item import Check
from trimtab.starter.reading import Reading, line_of, read

Core = Callable[[Reading], float]

WRONG = 0.12
HEDGED = 0.4
MENTIONED = 0.25


def graded(core: Core, *, short: int = 8, fair: int = 14, long: int = 45, may_refuse: bool = False) -> Check:
    """The checker of a core in [0, 1]. Up to `short` words cost nothing, `fair` words a tenth, `long` words most."""

    def check(text: str) -> float:
        reading = read(text)
        if not reading.tokens:
            return 0.0
        value = core(reading) * brevity(reading.n_words, short, fair, long) * manners(reading)
        if reading.refuses and not may_refuse:
            value *= 0.3
        return round(min(1.0, max(0.0, value)), 3)

    return check


def brevity(n_words: int, short: int, fair: int, long: int) -> float:
    """1 up to `short` words, 0.9 at `fair`, 0.2 at `long`, falling towards 0.02 at four times `long`."""
    if n_words <= short:
        return 1.0
    if n_words <= fair:
        return 1.0 - 0.1 * (n_words - short) / (fair - short)
    if n_words <= long:
        return 0.9 - 0.7 * (n_words - fair) / (long - fair)
    return max(0.02, 0.2 * (1.0 - (n_words - long) / (3 * long)))


def manners(reading: Reading) -> float:
    factor = 1.0
    if reading.rude:
        factor *= 0.45
    if reading.stock:
        factor *= 0.85
    if reading.repetitive:
        factor *= 0.5
    return factor


def answer(right: tuple[str, ...], wrong: tuple[str, ...]) -> Core:
    """Whether the right answer is named, and named before any of the wrong ones."""
    rights = tuple(line_of(text) for text in right)
    wrongs = tuple(line_of(text) for text in wrong)

    def core(reading: Reading) -> float:
        line = reading.line
        found = [line.find(text) for text in rights if text in line]
        missed = [line.find(text) for text in wrongs if text in line]
        if not found:
            return WRONG
        if not missed:
            return 1.0
        return HEDGED if min(found) <= min(missed) else MENTIONED

    return core


def number(value: float, givens: tuple[float, ...] = ()) -> Core:
    """Whether the number said, apart from those that the question gave, is the right one."""

    def core(reading: Reading) -> float:
        said = list(reading.numbers)
        for given in givens:
            if given in said and (given != value or said.count(given) > 1):
                said.remove(given)
        if not said:
            return WRONG / 2
        if all(_equal(one, value) for one in said):
            return 1.0
        if _equal(said[-1], value):
            return 0.7
        if any(_equal(one, value) for one in said):
            return MENTIONED
        return WRONG

    return core


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def bare(core: Core, n_words: int = 2) -> Core:
    """The answer and nothing else: a sentence around it costs a third."""
    return lambda reading: core(reading) * (1.0 if reading.n_words <= n_words else 0.65)


def whole_sentence(core: Core, n_words: int = 4) -> Core:
    """One whole sentence: a bare answer costs nearly a half, a second sentence a quarter."""

    def judged(reading: Reading) -> float:
        if reading.n_words < n_words:
            return core(reading) * 0.55
        return core(reading) * (1.0 if reading.n_sentences == 1 else 0.75)

    return judged


def on_topic(topic: tuple[str, ...], enough: int = 2) -> Core:
    """How many words of the topic come up: `enough` of them make 1."""
    return lambda reading: max(WRONG / 2, min(1.0, reading.count_of(topic) / enough))


def times(*cores: Core) -> Core:
    def core(reading: Reading) -> float:
        return math.prod(one(reading) for one in cores)

    return core


def kept(keeps: Callable[[Reading], bool], else_factor: float = 0.4) -> Core:
    """A rule that a response keeps (1) or breaks (`else_factor`)."""
    return lambda reading: 1.0 if keeps(reading) else else_factor
