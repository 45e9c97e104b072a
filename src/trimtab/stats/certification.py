"""The largest set of confident labels whose accuracy is certified on human-labeled pairs (learn-then-test).

Angelopoulos et al., "Learn then Test" (2021), with fixed-sequence testing: candidate thresholds are tested from a strict one
to the loosest, each at the full significance level, up to the first that is not certified. The probability that any certified
threshold is wrong is at most the level, wherever the sequence starts, as long as its start does not depend on which labels are
correct. It starts at a third of the share of labels whose mean confidence is at least the accuracy: if accuracy decreases
linearly with the share, from a to the promise at share S, the test with the most power is that at S / 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

# Thresholds are the confidences that keep these shares of the labels.
NUM_SHARES = 20
# The first test is at this part of the share that the confidences promise.
START_PART = 1 / 3
# If they promise nothing, the first threshold must have enough labeled pairs to be certified with this probability if its
# labels are wrong half as often as allowed. With fewer, a single unlucky error would end the sequence.
FIRST_TEST_POWER = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdTest:
    """One candidate threshold. `share` is the share of the labels to certify with at least this confidence.

    `num_correct` of `n` labeled pairs above the threshold have a correct label. `accuracy_lower` is the exact lower confidence
    bound of the accuracy (Clopper-Pearson, one-sided).
    """

    threshold: float
    share: float
    n: int
    num_correct: int
    accuracy_lower: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Certification:
    """`certified` is the loosest threshold that is certified, or None; `tests` are all tests made, the strictest first.

    A threshold is tested if at least `min_pairs` labeled pairs are above it.
    """

    certified: ThresholdTest | None
    tests: tuple[ThresholdTest, ...]
    min_pairs: int


def certify_labels(
    confidences: Sequence[float],
    labeled_confidences: Sequence[float],
    is_correct: Sequence[bool],
    *,
    accuracy: float,
    confidence: float = 0.95,
) -> Certification:
    """Certify that labels with at least some confidence have at least this `accuracy`, with probability `confidence`.

    `confidences` are those of the labels to certify, probabilities that they are correct; they determine the candidate
    thresholds and where the sequence starts. `labeled_confidences` and `is_correct` are those of independent labeled pairs,
    which must be exchangeable with the labels' pairs and must not have been used to train the annotator. The accuracy is the
    expected accuracy over such pairs: the realized accuracy of few labels also varies by chance. Raises `ValueError` for no
    labels, lists of different lengths, and levels outside (0, 1).
    """
    if not confidences or len(labeled_confidences) != len(is_correct):
        raise ValueError(
            f"certified: {len(confidences)} labels, {len(labeled_confidences)} labeled confidences and {len(is_correct)} "
            "outcomes; expected at least one label, and as many confidences as outcomes"
        )
    if not (0 < accuracy < 1 and 0 < confidence < 1):
        raise ValueError(f"certified: accuracy {accuracy} and confidence {confidence} must lie between 0 and 1")
    labeled = list(zip(labeled_confidences, is_correct, strict=True))
    min_share = START_PART * _find_promised_share(confidences, accuracy)
    min_pairs = count_fewest_pairs(accuracy, confidence) if min_share else count_required_pairs(accuracy, confidence)
    tests: list[ThresholdTest] = []
    certified = None
    for threshold in _list_thresholds(confidences):
        outcomes = [correct for each, correct in labeled if each >= threshold]
        share = sum(each >= threshold for each in confidences) / len(confidences)
        if len(outcomes) < min_pairs or share < min_share:
            continue
        n, num_correct = len(outcomes), sum(outcomes)
        lower = _compute_lower_bound(num_correct, n, confidence)
        tests.append(
            ThresholdTest(threshold=threshold, share=share, n=n, num_correct=num_correct, accuracy_lower=lower)
        )
        if lower < accuracy:
            break
        certified = tests[-1]
    return Certification(certified=certified, tests=tuple(tests), min_pairs=min_pairs)


def count_fewest_pairs(accuracy: float, confidence: float) -> int:
    """The labeled pairs that certify an accuracy if all their labels are correct."""
    return math.ceil(math.log(1 - confidence) / math.log(accuracy))


@lru_cache(maxsize=256)
def count_required_pairs(accuracy: float, confidence: float) -> int:
    """The labeled pairs with which labels of accuracy (1 + accuracy) / 2 are certified with probability FIRST_TEST_POWER."""
    from scipy.stats import binom

    n = 1
    while True:
        # the smallest number of correct labels that rejects an accuracy of at most `accuracy`
        needed = int(binom.isf(1 - confidence, n, accuracy)) + 1
        if needed <= n and binom.sf(needed - 1, n, (1 + accuracy) / 2) >= FIRST_TEST_POWER:
            return n
        n += 1


def _compute_lower_bound(num_correct: int, n: int, confidence: float) -> float:
    from scipy.stats import beta

    return float(beta.ppf(1 - confidence, num_correct, n - num_correct + 1)) if num_correct else 0.0


def _find_promised_share(confidences: Sequence[float], accuracy: float) -> float:
    """The largest share of the most confident labels whose mean confidence is at least the accuracy; 0 if there is none."""
    ranked = sorted(confidences, reverse=True)
    promised = [n for n, total in enumerate(accumulate(ranked), start=1) if total >= n * accuracy]
    return max(promised, default=0) / len(ranked)


def _list_thresholds(confidences: Sequence[float]) -> list[float]:
    """The confidences that keep 1/NUM_SHARES, 2/NUM_SHARES, ... of the labels, without repetition, in descending order."""
    ranked = sorted(confidences, reverse=True)
    ranks = (math.ceil(len(ranked) * step / NUM_SHARES) - 1 for step in range(1, NUM_SHARES + 1))
    return list(dict.fromkeys(ranked[rank] for rank in ranks))
