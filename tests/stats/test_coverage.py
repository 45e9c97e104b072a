"""Of 2,000 intervals of data drawn anew each time, 95 % ± 1.5 hold the truth: independent rows, and rows in clusters by prompt.

A prompt's rows share a normal effect that makes up a third to a half of their variance, and prompts have 1 to 4 rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from trimtab.stats import (
    Outcome,
    bounded_mean,
    cohen_kappa,
    krippendorff_alpha,
    length_controlled_win_rate,
    mean,
    mean_over_seeds_and_rows,
    paired_difference,
    performance_gap_recovered,
    ppi_mean,
    proportion,
    resampling,
    win_rate,
)
from trimtab.types import Metric

DRAWS = 2000
IDS = [f"{place:04}" for place in range(2000)]

Rng = np.random.Generator
Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Draw = Callable[[Rng], tuple[Metric, float]]


def prompts(rng: Rng, n: int, most: int) -> Places:
    """The prompt of every row, for n prompts of 1 to `most` rows."""
    return np.repeat(np.arange(n), rng.integers(1, most + 1, n))


def effects(rng: Rng, clusters: Places) -> Floats:
    """Standard normal figures, one a row, of which rows of one prompt share half."""
    shared = rng.normal(size=clusters[-1] + 1)[clusters]
    figures: Floats = (shared + rng.normal(size=len(clusters))) / 2**0.5
    return figures


def by_id(values: Floats) -> dict[str, float]:
    return dict(zip(IDS[: len(values)], values.tolist(), strict=True))


def clusters_by_id(clusters: Places) -> dict[str, int]:
    return dict(zip(IDS[: len(clusters)], clusters.tolist(), strict=True))


def accuracy_of_independent_pairs(rng: Rng) -> tuple[Metric, float]:
    # Wilson's coverage swings by a percent and a half with the truth, as counts are whole: the truth is drawn, too.
    truth = rng.uniform(0.5, 0.9)
    return proportion(int((rng.random(200) < truth).sum()), 200), truth


def accuracy_by_prompt(n: int, truth: float) -> Draw:
    def draw(rng: Rng) -> tuple[Metric, float]:
        clusters = prompts(rng, n, 4)
        right = effects(rng, clusters) < norm.ppf(truth)
        return bounded_mean(right.astype(float).tolist(), clusters=clusters.tolist()), truth

    return draw


def mean_by_prompt(rng: Rng) -> tuple[Metric, float]:
    clusters = prompts(rng, 40, 4)
    return mean((3 + 2 * effects(rng, clusters)).tolist(), clusters=clusters.tolist()), 3.0


def difference_by_prompt(rng: Rng) -> tuple[Metric, float]:
    clusters = prompts(rng, 60, 3)
    hard = effects(rng, clusters)
    ours, theirs = (by_id((hard + effects(rng, clusters) < bar).astype(float)) for bar in (1.0, 0.5))
    truth = norm.cdf(1.0 / 2**0.5) - norm.cdf(0.5 / 2**0.5)
    return paired_difference(ours, theirs, clusters=clusters_by_id(clusters)), float(truth)


def reward_gained_by_prompt(rng: Rng) -> tuple[Metric, float]:
    clusters = prompts(rng, 100, 3)
    hard = effects(rng, clusters)
    ours, theirs = (by_id(hard + effects(rng, clusters) + gain) for gain in (0.3, 0.0))
    return paired_difference(ours, theirs, clusters=clusters_by_id(clusters)), 0.3


def mean_of_few(n: int) -> Draw:
    def draw(rng: Rng) -> tuple[Metric, float]:
        return mean(rng.normal(3, 2, n).tolist()), 3.0

    return draw


def rarely_different(n: int, most: int, above: float, below: float) -> Draw:
    """Two students that follow each other: ours alone is right on a share `above` of the rows, theirs alone on `below`."""

    def draw(rng: Rng) -> tuple[Metric, float]:
        clusters = prompts(rng, n, most)
        place = norm.cdf(effects(rng, clusters))
        ours, theirs = (by_id(each.astype(float)) for each in (place < above, place > 1 - below))
        return paired_difference(ours, theirs, clusters=clusters_by_id(clusters)), above - below

    return draw


def outcomes(figures: Floats) -> list[Outcome]:
    """45 % wins, 25 % ties, 30 % losses, and so a true win rate of 0.575."""
    low, high = norm.ppf([0.30, 0.55])
    return ["loss" if each < low else "tie" if each < high else "win" for each in figures]


def win_rate_of_independent_pairs(rng: Rng) -> tuple[Metric, float]:
    return win_rate(outcomes(rng.normal(size=150))), 0.575


def win_rate_by_prompt(rng: Rng) -> tuple[Metric, float]:
    clusters = prompts(rng, 60, 4)
    return win_rate(outcomes(effects(rng, clusters)), clusters=clusters.tolist()), 0.575


def win_rate_at_equal_length(rng: Rng) -> tuple[Metric, float]:
    longer = rng.normal(30, 100, 200)
    odds = 0.4 + np.tanh(longer / longer.std())
    won: list[Outcome] = ["win" if each else "loss" for each in rng.random(200) < 1 / (1 + np.exp(-odds))]
    return length_controlled_win_rate(won, longer.tolist()), 1 / (1 + np.exp(-0.4))


def recovered(rng: Rng, n: int, most: int, accuracies: tuple[float, float, float]) -> Metric:
    """The gap recovered where the weak model, the student and the ceiling are right that often, all more so on easy pairs."""
    clusters = prompts(rng, n, most)
    hard = effects(rng, clusters)
    weak, student, ceiling = (
        by_id(((hard + rng.normal(size=len(hard))) / 2**0.5 < norm.ppf(right)).astype(float)) for right in accuracies
    )
    return performance_gap_recovered(weak, student, ceiling, clusters=clusters_by_id(clusters))


def gap_recovered(n: int, most: int, weak: float, student: float, ceiling: float) -> Draw:
    def draw(rng: Rng) -> tuple[Metric, float]:
        return recovered(rng, n, most, (weak, student, ceiling)), (student - weak) / abs(ceiling - weak)

    return draw


def prediction_powered(n: int, n_unlabeled: int, most: int, tuned: bool) -> Draw:
    """Accuracies that a judge tells with bias: it is right about whether they are in about three of four rows."""

    def draw(rng: Rng) -> tuple[Metric, float]:
        labeled, rest = prompts(rng, n, most), prompts(rng, n_unlabeled, most)
        known, other = effects(rng, labeled), effects(rng, rest)
        truths = known < 0.5
        told, unlabeled = (each + rng.normal(0, 0.7, len(each)) < 0.2 for each in (known, other))
        found = ppi_mean(
            truths.astype(float).tolist(),
            told.astype(float).tolist(),
            unlabeled.astype(float).tolist(),
            tune_weight=tuned,
            clusters=labeled.tolist(),
            unlabeled_clusters=rest.tolist(),
        )
        return found, float(norm.cdf(0.5))

    return draw


def two_raters(rng: Rng, n: int) -> tuple[dict[str, str], dict[str, str]]:
    """Each is right 8 times in 10 on its own: they agree 68 times in 100, and chance is one half, which leaves 0.36."""
    truth = rng.random(n) < 0.5
    ours, theirs = (np.where((rng.random(n) < 0.8) == truth, "a", "b").tolist() for _ in range(2))
    return dict(zip(IDS[:n], ours, strict=True)), dict(zip(IDS[:n], theirs, strict=True))


def kappa_of_two_raters(rng: Rng) -> tuple[Metric, float]:
    return cohen_kappa(*two_raters(rng, 100)), 0.36


def alpha_of_two_raters(rng: Rng) -> tuple[Metric, float]:
    return krippendorff_alpha(two_raters(rng, 100)), 0.36


def mean_across_seeds_and_rows(rng: Rng) -> tuple[Metric, float]:
    rows, seeds = rng.normal(size=100), rng.normal(0, 0.1, 3)
    runs = [by_id(2 + rows + seed + rng.normal(0, 0.5, 100)) for seed in seeds]
    return mean_over_seeds_and_rows(runs), 2.0


CASES: dict[str, Draw] = {
    "accuracy, 200 pairs": accuracy_of_independent_pairs,
    "accuracy, 80 prompts": accuracy_by_prompt(80, 0.7),
    "accuracy, 100 prompts, nearly all right": accuracy_by_prompt(100, 0.92),
    "accuracy, 30 prompts": accuracy_by_prompt(30, 0.6),
    "mean by bootstrap, 40 prompts": mean_by_prompt,
    "paired difference of rights, 60 prompts": difference_by_prompt,
    "paired difference by bootstrap, 100 prompts": reward_gained_by_prompt,
    "paired difference of rights, 300 pairs": rarely_different(300, 1, 0.10, 0.05),
    "mean of 3 rows": mean_of_few(3),
    "mean of 5 rows": mean_of_few(5),
    "win rate, 150 pairs": win_rate_of_independent_pairs,
    "win rate, 60 prompts": win_rate_by_prompt,
    "win rate at equal length, 200 pairs": win_rate_at_equal_length,
    "PGR, 300 pairs": gap_recovered(300, 1, 0.60, 0.70, 0.75),
    "PGR, 120 prompts": gap_recovered(120, 3, 0.60, 0.70, 0.75),
    "PGR, 200 pairs, ceiling below weak": gap_recovered(200, 1, 0.75, 0.70, 0.55),
    "PPI, 100 truths and 1,000 predictions": prediction_powered(100, 1000, 1, tuned=False),
    "PPI++, 100 truths and 1,000 predictions": prediction_powered(100, 1000, 1, tuned=True),
    "PPI++, 80 prompts and 400 without truths": prediction_powered(80, 400, 3, tuned=True),
    "kappa, 100 pairs": kappa_of_two_raters,
    "alpha, 100 pairs": alpha_of_two_raters,
    "mean of 3 seeds and 100 rows": mean_across_seeds_and_rows,
}


@pytest.mark.parametrize("draw", CASES.values(), ids=CASES.keys())
def test_95_percent_of_intervals_hold_the_truth(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    # A tenth of the resamples moves a bound by a twelfth of a standard error, which averages out over the draws.
    monkeypatch.setattr(resampling, "RESAMPLES", 1000)
    held = known = 0
    for place in range(DRAWS):
        metric, truth = draw(np.random.default_rng([17, place]))
        if metric.low is not None and metric.high is not None:
            known += 1
            held += metric.low <= truth <= metric.high
    assert known > 0.98 * DRAWS
    assert abs(held / known - 0.95) <= 0.015


@pytest.mark.parametrize(
    "draw",
    [rarely_different(100, 1, 0.03, 0.01), rarely_different(100, 1, 0.04, 0.0), rarely_different(100, 3, 0.05, 0.02)],
)
def test_where_few_rows_differ_intervals_hold_the_truth_at_least_as_often(draw: Draw) -> None:
    held = 0
    for place in range(DRAWS):
        metric, truth = draw(np.random.default_rng([19, place]))
        assert metric.low is not None and metric.high is not None
        held += metric.low <= truth <= metric.high
    assert held / DRAWS >= 0.935


@pytest.mark.parametrize(
    "draw",
    [
        rarely_different(100, 1, 0.02, 0.02),
        rarely_different(60, 4, 0.06, 0.06),
        rarely_different(300, 1, 0.2, 0.2),
        rarely_different(4, 2, 0.4, 0.4),
    ],
)
def test_of_two_arms_that_are_equally_good_one_is_called_better_at_most_5_times_in_100(draw: Draw) -> None:
    told = 0
    for place in range(DRAWS):
        metric, _ = draw(np.random.default_rng([23, place]))
        assert metric.low is not None and metric.high is not None
        told += metric.low > 0 or metric.high < 0
    assert told / DRAWS <= 0.05


def test_a_bootstrap_would_call_one_better_more_than_10_times_in_100_where_four_rows_differ() -> None:
    told = 0
    for place in range(DRAWS):
        rng = np.random.default_rng([29, place])
        moved = rng.choice(100, 4, replace=False)
        differences = np.zeros(100)
        differences[moved] = rng.choice([-1.0, 1.0], 4)
        metric = mean(differences.tolist())
        assert metric.low is not None and metric.high is not None
        told += metric.low > 0 or metric.high < 0
    assert told / DRAWS > 0.1


def test_rows_of_one_prompt_taken_for_independent_hold_the_truth_far_too_seldom() -> None:
    held = 0
    for place in range(DRAWS):
        rng = np.random.default_rng([17, place])
        right: NDArray[np.bool_] = np.repeat(rng.random(60) < 0.7, 4)
        metric = bounded_mean(right.astype(float).tolist())
        assert metric.low is not None and metric.high is not None
        held += metric.low <= 0.7 <= metric.high
    assert held / DRAWS < 0.75


def test_a_gap_of_nothing_is_called_undefined_95_times_in_100() -> None:
    found = (recovered(np.random.default_rng([3, place]), 200, 1, (0.7, 0.75, 0.7)) for place in range(DRAWS))
    undefined = sum(metric.value is None for metric in found)
    assert abs(undefined / DRAWS - 0.95) <= 0.015
