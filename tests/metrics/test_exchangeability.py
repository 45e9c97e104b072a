"""The comparison of labeled with unlabeled pairs finds differences, and none in pairs that were split at random."""

from __future__ import annotations

import random
from collections.abc import Sequence

from trimtab.metrics.exchangeability import WORD_DIFFERENCE, check_exchangeability, list_differences
from trimtab.types import Pair, build_user_prompt

WORD_LIST = [f"word{n}" for n in range(50)]


def build_pairs(seed: int, count: int, *, length: int = 10, vocabulary: Sequence[str] = WORD_LIST) -> list[Pair]:
    """Random texts with between 1 and 2 * length words."""
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(rng.choice(vocabulary) for _ in range(rng.randint(1, 2 * length)))

    return [
        Pair.from_responses(build_user_prompt(f"{text()} {rng.random()}"), f"{text()} yes", f"{text()} no", "first")
        for _ in range(count)
    ]


def build_confidences(*splits: Sequence[Pair], seed: int = 1) -> dict[str, float]:
    rng = random.Random(seed)
    return {pair.id: rng.uniform(0.5, 1) for pairs in splits for pair in pairs}


def test_pairs_of_one_source_do_not_differ() -> None:
    labeled, unlabeled = build_pairs(1, 120), build_pairs(2, 240)
    checks = check_exchangeability(labeled, unlabeled, build_confidences(labeled, unlabeled))
    assert [check.quantity for check in checks] == [
        "prompt length",
        "response length",
        "length difference",
        "confidence",
        WORD_DIFFERENCE,
    ]
    assert {check.probability.n for check in checks} == {360}
    assert list_differences(checks) == []


def test_the_false_alarm_rate_is_at_most_5_percent() -> None:
    alarms = 0
    for seed in range(30):
        labeled, unlabeled = build_pairs(10 + 2 * seed, 40), build_pairs(11 + 2 * seed, 60)
        alarms += bool(
            list_differences(check_exchangeability(labeled, unlabeled, build_confidences(labeled, unlabeled)))
        )
    # 5% of 30, and three standard errors
    assert alarms <= 1.5 + 3 * (30 * 0.05 * 0.95) ** 0.5


def test_longer_unlabeled_pairs_differ_in_length() -> None:
    labeled, unlabeled = build_pairs(1, 120), build_pairs(2, 240, length=14)
    checks = check_exchangeability(labeled, unlabeled, build_confidences(labeled, unlabeled))
    assert {"prompt length", "response length"} <= set(list_differences(checks))
    response = checks[1]
    assert response.labeled_median is not None and response.unlabeled_median is not None
    assert response.labeled_median < response.unlabeled_median
    assert response.probability.low is not None and response.probability.low > 0.5


def test_pairs_of_another_source_differ_in_words_only() -> None:
    labeled, unlabeled = build_pairs(1, 120), build_pairs(2, 120, vocabulary=[f"term{n}" for n in range(50)])
    checks = check_exchangeability(labeled, unlabeled, build_confidences(labeled, unlabeled))
    assert list_differences(checks) == [WORD_DIFFERENCE]
    assert checks[-1].probability.value is not None and checks[-1].probability.value > 0.99


def test_one_pair_per_prompt_with_a_label_is_compared() -> None:
    labeled, unlabeled = build_pairs(1, 30), build_pairs(2, 25)
    twins = [Pair.from_responses(pair.prompt, pair.a + "!", pair.b, "first") for pair in labeled]
    confidences = build_confidences(labeled, twins, unlabeled[:20])
    checks = check_exchangeability([*labeled, *twins], unlabeled, confidences)
    assert {check.probability.n for check in checks} == {50}
    assert check_exchangeability(labeled, unlabeled[1:20], confidences) == ()
