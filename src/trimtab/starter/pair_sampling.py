"""Which two responses of a draft become its pair: drawn so that the longer one is the better half of the time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from random import Random

from trimtab.starter.item import PromptDraft, StarterItem, TaskFamily

MIN_REWARD_GAP = 0.1
LABEL_NOISE = 0.16
SUBTLE_PAIR_RATE = 0.3
MIN_SUBTLE_REWARD = 0.25


def build_items(
    family: TaskFamily, drafts: Iterable[tuple[PromptDraft, tuple[float, ...]]], seed: int
) -> list[StarterItem]:
    """One item a draft, in order. Where the labels so far lean to one side in length, the next leans to the other."""
    made: list[StarterItem] = []
    lean = 0.0
    for draft, golds in drafts:
        rng = Random(f"{seed}:{family.name}:{draft.prompt}")
        want = -1 if lean > 0 else 1 if lean < 0 else rng.choice((-1, 1))
        better, worse = _choose_pair(draft, golds, want, rng)
        longer = _compare_lengths(_measure_length(draft.responses[better]), _measure_length(draft.responses[worse]))
        lean += longer * expected_preference_sign(golds[better] - golds[worse], LABEL_NOISE)
        made.append(
            StarterItem(
                family=family.name,
                objective=family.objective,
                prompt=draft.prompt,
                checker=draft.checker,
                better=draft.responses[better],
                worse=draft.responses[worse],
                gold_better=golds[better],
                gold_worse=golds[worse],
            )
        )
    return made


def preference_probability(gap: float, noise: float) -> float:
    """sigmoid(gap / noise): the probability that a human prefers the first, whose gold reward is higher by `gap`."""
    if noise == 0:
        return 0.5 if gap == 0 else float(gap > 0)
    return 0.5 * (1.0 + math.tanh(gap / (2.0 * noise)))


def expected_preference_sign(gap: float, noise: float) -> float:
    """The expectation of +1 for the first being preferred and -1 for the second."""
    return 2.0 * preference_probability(gap, noise) - 1.0


def _measure_length(text: str) -> tuple[int, int]:
    return len(text), len(text.split())


def _compare_lengths(first: tuple[int, int], second: tuple[int, int]) -> int:
    """1 where the first has more characters and no fewer words, -1 the other way round, 0 otherwise."""
    characters, words = first[0] - second[0], first[1] - second[1]
    if characters > 0 and words >= 0:
        return 1
    return -1 if characters < 0 and words <= 0 else 0


def _choose_pair(draft: PromptDraft, golds: tuple[float, ...], want: int, rng: Random) -> tuple[int, int]:
    """Two responses whose lengths are as wanted, where there are any; at times both are fair."""
    sizes = [_measure_length(text) for text in draft.responses]
    every = [(i, j) for i, high in enumerate(golds) for j, low in enumerate(golds) if high - low >= MIN_REWARD_GAP]
    if not every:
        raise ValueError(
            f"no two responses differ in gold reward by {MIN_REWARD_GAP}: {draft.prompt!r} {draft.responses}"
        )
    fitting = [(i, j) for i, j in every if _compare_lengths(sizes[i], sizes[j]) == want]
    subtle = [(i, j) for i, j in fitting if golds[j] >= MIN_SUBTLE_REWARD] if rng.random() < SUBTLE_PAIR_RATE else []
    return rng.choice(subtle or fitting or every)
