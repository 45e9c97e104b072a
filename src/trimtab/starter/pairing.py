"""Which two responses of a draft become its pair: drawn so that the longer one is the better half of the time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random

from trimtab.starter.item import Draft, Family, Item

SMALLEST_GAP = 0.1
NOISE = 0.16
SUBTLE = 0.3
SUBTLE_FLOOR = 0.25


def paired(family: Family, drafts: Iterable[tuple[Draft, tuple[float, ...]]], seed: int) -> list[Item]:
    """One item a draft, in order. Where the labels so far lean to one side in length, the next leans to the other."""
    made: list[Item] = []
    lean = 0.0
    for draft, golds in drafts:
        rng = Random(f"{seed}:{family.name}:{draft.prompt}")
        want = -1 if lean > 0 else 1 if lean < 0 else rng.choice((-1, 1))
        better, worse = _chosen(draft, golds, want, rng)
        longer = _longer(_size(draft.responses[better]), _size(draft.responses[worse]))
        lean += longer * expected_sign(golds[better] - golds[worse], NOISE)
        made.append(
            Item(
                family=family.name,
                objective=family.objective,
                prompt=draft.prompt,
                check=draft.check,
                better=draft.responses[better],
                worse=draft.responses[worse],
                gold_better=golds[better],
                gold_worse=golds[worse],
            )
        )
    return made


def p_first(gap: float, noise: float) -> float:
    """sigmoid(gap / noise): the probability that a human prefers the first, whose gold reward is higher by `gap`."""
    if noise == 0:
        return 0.5 if gap == 0 else float(gap > 0)
    return 0.5 * (1.0 + math.tanh(gap / (2.0 * noise)))


def expected_sign(gap: float, noise: float) -> float:
    """The expectation of +1 for the first being preferred and -1 for the second."""
    return 2.0 * p_first(gap, noise) - 1.0


def _size(text: str) -> tuple[int, int]:
    return len(text), len(text.split())


def _longer(first: tuple[int, int], second: tuple[int, int]) -> int:
    """1 where the first has more characters and no fewer words, -1 the other way round, 0 otherwise."""
    characters, words = first[0] - second[0], first[1] - second[1]
    if characters > 0 and words >= 0:
        return 1
    return -1 if characters < 0 and words <= 0 else 0


def _chosen(draft: Draft, golds: tuple[float, ...], want: int, rng: Random) -> tuple[int, int]:
    """Two responses whose lengths are as wanted, where there are any; at times both are fair."""
    sizes = [_size(text) for text in draft.responses]
    every = [(i, j) for i, high in enumerate(golds) for j, low in enumerate(golds) if high - low >= SMALLEST_GAP]
    if not every:
        raise ValueError(
            f"no two responses differ in gold reward by {SMALLEST_GAP}: {draft.prompt!r} {draft.responses}"
        )
    fitting = [(i, j) for i, j in every if _longer(sizes[i], sizes[j]) == want]
    subtle = [(i, j) for i, j in fitting if golds[j] >= SUBTLE_FLOOR] if rng.random() < SUBTLE else []
    return rng.choice(subtle or fitting or every)
