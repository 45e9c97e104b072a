"""Validity and power of certified labels, simulated: python studies/certified_labels/simulation.py --draws 2000

A draw has labeled pairs and labels to certify, each with a rank c that is uniform in [0, 1]. A label of rank c is correct with
the probability that the setting states; its confidence is that probability, or as far from 1/2 as the setting states. A draw
violates the guarantee if the expected accuracy of the labels above the certified threshold is lower than promised. The second
table compares other starts and orders of the tests, and other bounds. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from trimtab.stats import proportion
from trimtab.stats.certification import NUM_SHARES, certify_labels, count_fewest_pairs, count_required_pairs
from trimtab.types import Metric

_Floats = NDArray[np.float64]

CONFIDENCE = 0.95
# Where the tests start was explored on the draws of another seed.
SEED = 8
NUM_LABELS = 1_000
NOTHING = 2.0  # a threshold above every confidence


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`is_correct` is the probability of a correct label by rank; `num_labeled` pairs have human labels.

    Confidences are calibrated if `log_odds_factor` is 1; if not, their log-odds are multiplied by it. `rank_by` replaces the
    calibrated confidence where it does not increase with the rank.
    """

    name: str
    is_correct: Callable[[_Floats], _Floats]
    accuracy: float
    num_labeled: int
    log_odds_factor: float = 1.0
    rank_by: Callable[[_Floats], _Floats] | None = None

    def confidence(self, ranks: _Floats) -> _Floats:
        p = (self.rank_by or self.is_correct)(ranks)
        return np.asarray(1 / (1 + ((1 - p) / p) ** self.log_odds_factor))

    def true_accuracy(self, threshold: float) -> float:
        """The expected accuracy of labels with at least this confidence, by the midpoint rule."""
        points = threshold + (1 - threshold) * (np.arange(2_000) + 0.5) / 2_000
        return float(self.is_correct(points).mean())

    def ideal_share(self) -> float:
        """The largest share of the most confident labels that is as accurate as promised."""
        shares = np.arange(1, 1_001) / 1_000
        return max((share for share in shares if self.true_accuracy(1 - share) >= self.accuracy), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Ranks and confidences of the labels to certify and of the labeled pairs; thresholds are ranks."""

    ranks: _Floats
    confidences: _Floats
    labeled: _Floats
    labeled_confidences: _Floats
    correct: NDArray[np.bool_]

    def thresholds(self, num_shares: int) -> _Floats:
        """The ranks that keep equal steps of the labels, the strictest first."""
        ranked = np.sort(self.ranks)[::-1]
        ranks = np.ceil(len(ranked) * np.arange(1, num_shares + 1) / num_shares).astype(int) - 1
        thresholds: _Floats = ranked[ranks]
        return thresholds

    def count(self, thresholds: _Floats, rows: slice = slice(None)) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """By threshold: the labeled pairs above it, and those of them with a correct label."""
        above = self.labeled[rows][None] >= thresholds[:, None]
        return above.sum(axis=1), (above & self.correct[rows][None]).sum(axis=1)


Method = Callable[[Draw, float], float]


@cache
def _list_needed(accuracy: float, level: float) -> NDArray[np.int_]:
    """By n up to 2,000: the smallest number of correct labels that rejects a lower accuracy at this level."""
    needed: NDArray[np.int_] = binom.isf(level, np.arange(2_001), accuracy).astype(int) + 1
    return needed


def _run_sequence(
    draw: Draw, accuracy: float, thresholds: _Floats, *, level: float, min_pairs: int, max_failures: int = 0
) -> float:
    """The loosest threshold that passes before more than `max_failures` thresholds failed."""
    n, correct = draw.count(thresholds)
    certified, failures = NOTHING, 0
    for index in np.flatnonzero(n >= min_pairs):
        if correct[index] >= _list_needed(accuracy, level)[n[index]]:
            certified = float(thresholds[index])
        elif failures == max_failures:
            break
        else:
            failures += 1
    return certified


def certify_as_built(draw: Draw, accuracy: float) -> float:
    result = certify_labels(
        draw.confidences.tolist(),
        draw.labeled_confidences.tolist(),
        draw.correct.tolist(),
        accuracy=accuracy,
        confidence=CONFIDENCE,
    )
    if result.certified is None:
        return NOTHING
    return float(draw.ranks[draw.confidences >= result.certified.threshold].min())


def certify_in_sequence(num_shares: int, min_pairs: Callable[[float], int], max_failures: int = 0) -> Method:
    """A sequence from the strictest threshold on. With failures allowed, each test has an equal part of the level."""
    level = (1 - CONFIDENCE) / (max_failures + 1)

    def certify(draw: Draw, accuracy: float) -> float:
        return _run_sequence(
            draw,
            accuracy,
            draw.thresholds(num_shares),
            level=level,
            min_pairs=min_pairs(accuracy),
            max_failures=max_failures,
        )

    return certify


def certify_by_bonferroni(draw: Draw, accuracy: float) -> float:
    """All thresholds are tested, each at an equal part of the level."""
    thresholds = draw.thresholds(NUM_SHARES)
    n, correct = draw.count(thresholds)
    passed = correct >= _list_needed(accuracy, (1 - CONFIDENCE) / NUM_SHARES)[n]
    return float(thresholds[passed].min()) if passed.any() else NOTHING


def certify_from_two_starts(draw: Draw, accuracy: float) -> float:
    """Two sequences at half the level each: from the strictest threshold, and from half of the labels."""
    thresholds, level = draw.thresholds(NUM_SHARES), (1 - CONFIDENCE) / 2
    required = count_required_pairs(accuracy, 1 - level)
    starts = (thresholds, thresholds[NUM_SHARES // 2 - 1 :])
    return min(_run_sequence(draw, accuracy, start, level=level, min_pairs=required) for start in starts)


def certify_chosen_threshold(part: float) -> Method:
    """One threshold, chosen on a `part` of the labeled pairs, is tested on the others at the full level."""

    def certify(draw: Draw, accuracy: float) -> float:
        num_choosing = round(part * len(draw.labeled))
        thresholds = draw.thresholds(NUM_SHARES)
        n, correct = draw.count(thresholds, slice(num_choosing))
        n_test, correct_test = draw.count(thresholds, slice(num_choosing, None))
        estimate = (correct + 1) / (n + 2)  # pulled to 1/2, because few pairs vary
        standard_error = np.sqrt(accuracy * (1 - accuracy) / np.maximum(n_test, 1))
        passes = estimate >= accuracy + 1.645 * standard_error
        index = int(np.flatnonzero(passes)[-1]) if passes.any() else int(np.argmax(estimate / standard_error))
        needed = _list_needed(accuracy, 1 - CONFIDENCE)[n_test[index]]
        return float(thresholds[index]) if correct_test[index] >= needed else NOTHING

    return certify


def certify_by_hoeffding_bentkus(draw: Draw, accuracy: float) -> float:
    """The sequence without the confidences' start, with the p-value of Bates et al. (2021) for bounded losses."""
    thresholds, required = draw.thresholds(NUM_SHARES), count_required_pairs(accuracy, CONFIDENCE)
    n, correct = draw.count(thresholds)
    certified = NOTHING
    for index in np.flatnonzero(n >= required):
        errors, allowed = n[index] - correct[index], 1 - accuracy
        rate = min(errors / n[index], allowed)
        relative_entropy = (rate * np.log(rate / allowed) if rate else 0.0) + (1 - rate) * np.log(
            (1 - rate) / (1 - allowed)
        )
        p_value = min(np.exp(-n[index] * relative_entropy), np.e * binom.cdf(errors, n[index], allowed))
        if p_value > 1 - CONFIDENCE:
            break
        certified = float(thresholds[index])
    return certified


def certify_loosest_uncorrected(draw: Draw, accuracy: float) -> float:
    """Not valid: the loosest threshold that passes its own test, without a correction for trying many."""
    thresholds = draw.thresholds(NUM_SHARES)
    n, correct = draw.count(thresholds)
    passed = correct >= _list_needed(accuracy, 1 - CONFIDENCE)[n]
    return float(thresholds[passed].min()) if passed.any() else NOTHING


def _required(accuracy: float) -> int:
    return count_required_pairs(accuracy, CONFIDENCE)


def _smallest_possible(accuracy: float) -> int:
    return count_fewest_pairs(accuracy, CONFIDENCE)


METHODS: Mapping[str, Method] = {
    "as built: starts at a third of the share that the confidences promise": certify_as_built,
    "starts at 82 labeled pairs (80%), 118 (85%) or 49 (70%)": certify_in_sequence(NUM_SHARES, _required),
    "the same, thresholds at 5 shares": certify_in_sequence(5, _required),
    "the same, thresholds at 100 shares": certify_in_sequence(100, _required),
    "the same, one failure allowed, half the level": certify_in_sequence(NUM_SHARES, _required, max_failures=1),
    "the same, two starts, half the level each": certify_from_two_starts,
    "the same, Hoeffding-Bentkus bound": certify_by_hoeffding_bentkus,
    "starts at the fewest pairs that can pass": certify_in_sequence(NUM_SHARES, _smallest_possible),
    "all thresholds, Bonferroni": certify_by_bonferroni,
    "one threshold, chosen on a fifth of the pairs": certify_chosen_threshold(0.2),
    "one threshold, chosen on two fifths": certify_chosen_threshold(0.4),
    "not valid: the loosest that passes, uncorrected": certify_loosest_uncorrected,
}


def rise_linearly(c: _Floats) -> _Floats:
    return 0.5 + 0.45 * c


def rise_weakly(c: _Floats) -> _Floats:
    """A probe on HH-RLHF: 68% in total, 79% for the most confident labels."""
    return 0.57 + 0.22 * c


def step(c: _Floats) -> _Floats:
    return np.where(c >= 0.5, 0.9, 0.6)


def stay_just_below(c: _Floats) -> _Floats:
    """Every threshold is wrong for a promise of 80%, and as hard to reject as possible."""
    return np.full_like(c, 0.7999)


def fall(c: _Floats) -> _Floats:
    """Overconfident: the most confident labels are the worst."""
    return 0.95 - 0.3 * c


def _linear(accuracy: float, num_labeled: int, name: str = "", log_odds_factor: float = 1.0) -> Setting:
    return Setting(
        name=f".5 + .45c{name}",
        is_correct=rise_linearly,
        accuracy=accuracy,
        num_labeled=num_labeled,
        log_odds_factor=log_odds_factor,
    )


SETTINGS = (
    _linear(0.8, 150),
    _linear(0.8, 300),
    _linear(0.8, 500),
    _linear(0.8, 1_000),
    _linear(0.7, 300),
    _linear(0.85, 300),
    _linear(0.8, 300, ", overconfident", 3.0),
    _linear(0.8, 300, ", underconfident", 0.4),
    Setting(name=".57 + .22c", is_correct=rise_weakly, accuracy=0.7, num_labeled=500),
    Setting(name=".9 above the median, else .6", is_correct=step, accuracy=0.8, num_labeled=300, rank_by=rise_linearly),
    Setting(name=".7999 everywhere", is_correct=stay_just_below, accuracy=0.8, num_labeled=300, rank_by=rise_linearly),
    Setting(name=".95 - .3c", is_correct=fall, accuracy=0.8, num_labeled=300, rank_by=rise_linearly),
)
# The settings in which methods are compared: power in all but the last, validity in the last.
COMPARED = (0, 1, 5, 6, 8, 10)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Over all draws: violations of the guarantee, draws without a certificate, and the mean certified share."""

    violations: Metric
    nothing: Metric
    mean_share: float


def simulate(setting: Setting, method: Method, draws: int) -> Outcome:
    """The same draws for every method."""
    rng = np.random.default_rng([SEED, setting.num_labeled, round(1_000 * setting.accuracy)])
    violations, nothing, shares = 0, 0, []
    for _ in range(draws):
        labeled, ranks = rng.random(setting.num_labeled), rng.random(NUM_LABELS)
        draw = Draw(
            ranks=ranks,
            confidences=setting.confidence(ranks),
            labeled=labeled,
            labeled_confidences=setting.confidence(labeled),
            correct=rng.random(setting.num_labeled) < setting.is_correct(labeled),
        )
        threshold = method(draw, setting.accuracy)
        nothing += threshold == NOTHING
        shares.append(float((ranks >= threshold).mean()))
        violations += threshold != NOTHING and setting.true_accuracy(threshold) < setting.accuracy
    return Outcome(
        violations=proportion(violations, draws), nothing=proportion(nothing, draws), mean_share=float(np.mean(shares))
    )


def print_validity(draws: int) -> None:
    print("| accuracy by rank c | promise | labeled pairs | violations | nothing certified | share | ideal share |")
    print("|" + "---|" * 7)
    for setting in SETTINGS:
        outcome = simulate(setting, certify_as_built, draws)
        cells = (
            setting.name,
            f"{setting.accuracy:.0%}",
            f"{setting.num_labeled:,}",
            f"{_format(outcome.violations)}",
            f"{_format(outcome.nothing)}",
            f"{outcome.mean_share:.1%}",
            f"{setting.ideal_share():.1%}",
        )
        print("| " + " | ".join(cells) + " |", flush=True)


def print_methods(draws: int) -> None:
    settings = [SETTINGS[index] for index in COMPARED]
    heads = [f"{each.name}, {each.accuracy:.0%}, n = {each.num_labeled}" for each in settings]
    print("\n| method | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for name, method in METHODS.items():
        outcomes = [simulate(setting, method, draws) for setting in settings]
        cells = (f"{each.mean_share:.1%}, {each.nothing.value:.0%}, {each.violations.value:.1%}" for each in outcomes)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("\nIn each cell: mean certified share, draws with nothing certified, violations")


def _format(metric: Metric) -> str:
    return f"{metric.value:.1%} [{metric.low:.1%}, {metric.high:.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--draws", type=int, default=2_000)
    draws = parser.parse_args().draws
    print(f"{draws:,} draws, {NUM_LABELS:,} labels to certify with {CONFIDENCE:.0%} confidence\n")
    print_validity(draws)
    print_methods(draws)


if __name__ == "__main__":
    main()
