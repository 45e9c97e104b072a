"""Samples two responses of a draft such that the longer one is preferred half of the time."""

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
    """One item per draft, in order. Each pair counteracts the correlation of the previous labels with length."""
    items: list[StarterItem] = []
    length_bias = 0.0
    for draft, rewards in drafts:
        rng = Random(f"{seed}:{family.name}:{draft.prompt}")
        direction = -1 if length_bias > 0 else 1 if length_bias < 0 else rng.choice((-1, 1))
        better, worse = _choose_pair(draft, rewards, direction, rng)
        longer = _compare_lengths(_measure_length(draft.responses[better]), _measure_length(draft.responses[worse]))
        length_bias += longer * expected_preference_sign(rewards[better] - rewards[worse], LABEL_NOISE)
        items.append(
            StarterItem(
                family=family.name,
                objective=family.objective,
                prompt=draft.prompt,
                checker=draft.checker,
                better=draft.responses[better],
                worse=draft.responses[worse],
                gold_better=rewards[better],
                gold_worse=rewards[worse],
            )
        )
    return items


def preference_probability(gap: float, noise: float) -> float:
    """sigmoid(gap / noise): the probability that a human prefers the first, whose gold reward is higher by `gap`."""
    if noise == 0:
        return 0.5 if gap == 0 else float(gap > 0)
    return 0.5 * (1.0 + math.tanh(gap / (2.0 * noise)))


def expected_preference_sign(gap: float, noise: float) -> float:
    """The expectation of +1 if the first response is preferred and -1 if the second is."""
    return 2.0 * preference_probability(gap, noise) - 1.0


def _measure_length(text: str) -> tuple[int, int]:
    return len(text), len(text.split())


def _compare_lengths(first: tuple[int, int], second: tuple[int, int]) -> int:
    """1 if the first has more characters and at least as many words, -1 for the reverse, 0 otherwise."""
    characters, words = first[0] - second[0], first[1] - second[1]
    if characters > 0 and words >= 0:
        return 1
    return -1 if characters < 0 and words <= 0 else 0


def _choose_pair(draft: PromptDraft, rewards: tuple[float, ...], direction: int, rng: Random) -> tuple[int, int]:
    """Indices of the better and the worse response, with the requested order of lengths if possible.

    In a fraction `SUBTLE_PAIR_RATE` of cases, the worse response has a reward of at least `MIN_SUBTLE_REWARD`, if possible.
    """
    lengths = [_measure_length(text) for text in draft.responses]
    candidates = [
        (i, j) for i, high in enumerate(rewards) for j, low in enumerate(rewards) if high - low >= MIN_REWARD_GAP
    ]
    if not candidates:
        raise ValueError(
            f"no two responses differ in gold reward by {MIN_REWARD_GAP}: {draft.prompt!r} {draft.responses}"
        )
    matching = [(i, j) for i, j in candidates if _compare_lengths(lengths[i], lengths[j]) == direction]
    subtle = [(i, j) for i, j in matching if rewards[j] >= MIN_SUBTLE_REWARD] if rng.random() < SUBTLE_PAIR_RATE else []
    return rng.choice(subtle or matching or candidates)
