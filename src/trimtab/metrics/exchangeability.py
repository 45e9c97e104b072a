"""Checks whether labeled and unlabeled pairs could have been sampled in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from trimtab.stats.superiority import compute_superiority
from trimtab.types import Metric, Pair, format_conversation, text_hash

# Pairs of each split that the classifier of words learns from: more would take longer and change little.
MAX_CLASSIFIED_PAIRS = 2_000
NUM_WORD_FOLDS = 5
# Fewer pairs per split are not compared.
MIN_COMPARED_PAIRS = 20
WORD_DIFFERENCE = "words"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeabilityCheck:
    """One comparison. `probability` is that a random unlabeled pair has the higher value, ties counting half: 1/2 without a
    difference.

    `quantity` is `prompt length`, `response length` (the mean of both), `length difference`, each in characters, `confidence`
    in [0, 1], or `words`: log-odds that the pair is unlabeled, which have no medians.
    """

    quantity: str
    labeled_median: float | None
    unlabeled_median: float | None
    probability: Metric
    p_value: float


_LENGTHS: Mapping[str, Callable[[Pair], float]] = {
    "prompt length": lambda pair: float(sum(len(message.content) for message in pair.prompt)),
    "response length": lambda pair: (len(pair.a) + len(pair.b)) / 2,
    "length difference": lambda pair: float(abs(pair.length_difference("a"))),
}


def check_exchangeability(
    labeled: Sequence[Pair], unlabeled: Sequence[Pair], confidences: Mapping[str, float]
) -> tuple[ExchangeabilityCheck, ...]:
    """Compares lengths, confidences and words of pairs, of one pair per prompt, because pairs of a prompt depend on each other.

    `confidences` are those of the labels by pair id; pairs without one are left out. Nothing is compared if a split has fewer
    than `MIN_COMPARED_PAIRS` prompts.
    """
    first, second = (_select_one_per_prompt(pairs, confidences) for pairs in (labeled, unlabeled))
    if min(len(first), len(second)) < MIN_COMPARED_PAIRS:
        return ()
    checks = [
        _compare(name, [compute(pair) for pair in first], [compute(pair) for pair in second])
        for name, compute in _LENGTHS.items()
    ]
    checks.append(
        _compare("confidence", [confidences[pair.id] for pair in first], [confidences[pair.id] for pair in second])
    )
    words = compute_superiority(*_classify_words(first, second))
    return (
        *checks,
        ExchangeabilityCheck(
            quantity=WORD_DIFFERENCE,
            labeled_median=None,
            unlabeled_median=None,
            probability=words.probability,
            # without a difference, cross-validated log-odds are lower than by chance more often than higher
            p_value=words.p_value if (words.probability.value or 0) > 0.5 else 1.0,
        ),
    )


def list_differences(checks: Sequence[ExchangeabilityCheck]) -> list[str]:
    """The quantities that differ with p < 0.05, corrected for the number of checks (Bonferroni)."""
    return [check.quantity for check in checks if check.p_value * len(checks) < 0.05]


def _select_one_per_prompt(pairs: Sequence[Pair], confidences: Mapping[str, float]) -> list[Pair]:
    by_prompt: dict[str, Pair] = {}
    for pair in sorted(pairs, key=lambda pair: pair.id):
        if pair.id in confidences:
            by_prompt.setdefault(pair.prompt_id, pair)
    return list(by_prompt.values())


def _compare(quantity: str, labeled: Sequence[float], unlabeled: Sequence[float]) -> ExchangeabilityCheck:
    superiority = compute_superiority(labeled, unlabeled)
    return ExchangeabilityCheck(
        quantity=quantity,
        labeled_median=median(labeled),
        unlabeled_median=median(unlabeled),
        probability=superiority.probability,
        p_value=superiority.p_value,
    )


def _classify_words(labeled: Sequence[Pair], unlabeled: Sequence[Pair]) -> tuple[list[float], list[float]]:
    """Log-odds that a pair is unlabeled, by logistic regression on its words, trained without the pair's fold.

    Each fold has the same part of both splits: otherwise log-odds of different folds would not be comparable.
    """
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415 - takes a second to import
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    samples = [
        sorted(pairs, key=lambda pair: text_hash("words", pair.id))[:MAX_CLASSIFIED_PAIRS]
        for pairs in (labeled, unlabeled)
    ]
    texts = [
        f"{format_conversation(pair.prompt)} {' '.join(sorted((pair.a, pair.b)))}"
        for pairs in samples
        for pair in pairs
    ]
    is_unlabeled = [index == 1 for index, pairs in enumerate(samples) for _ in pairs]
    folds = [position % NUM_WORD_FOLDS for pairs in samples for position in range(len(pairs))]
    rows = HashingVectorizer(n_features=2**16, norm="l2", alternate_sign=False, binary=True).transform(texts)
    log_odds = [0.0] * len(texts)
    for fold in range(NUM_WORD_FOLDS):
        train = [index for index, each in enumerate(folds) if each != fold]
        test = [index for index, each in enumerate(folds) if each == fold]
        model = LogisticRegression(class_weight="balanced", max_iter=1_000)
        model.fit(rows[train], [is_unlabeled[index] for index in train])
        for index, value in zip(test, model.decision_function(rows[test]), strict=True):
            log_odds[index] = float(value)
    return log_odds[: len(samples[0])], log_odds[len(samples[0]) :]
