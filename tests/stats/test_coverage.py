"""Of 2,000 intervals on independently simulated data, 95% ± 1.5 cover the true value, for independent and for clustered rows.

The rows of a prompt share a normal effect with a third to a half of their variance; a prompt has 1 to 4 rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from trimtab.stats import (
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
from trimtab.types import Metric, Outcome

N_SIMULATIONS = 2000
IDS = [f"{index:04}" for index in range(2000)]

Rng = np.random.Generator
FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]
Simulation = Callable[[Rng], tuple[Metric, float]]


def sample_prompts(rng: Rng, n: int, max_rows: int) -> IndexArray:
    """The prompt index of each row, for n prompts of 1 to `max_rows` rows."""
    return np.repeat(np.arange(n), rng.integers(1, max_rows + 1, n))


def sample_effects(rng: Rng, clusters: IndexArray) -> FloatArray:
    """Standard normal values, one per row; rows of one prompt share half of the variance."""
    shared = rng.normal(size=clusters[-1] + 1)[clusters]
    values: FloatArray = (shared + rng.normal(size=len(clusters))) / 2**0.5
    return values


def by_id(values: FloatArray) -> dict[str, float]:
    return dict(zip(IDS[: len(values)], values.tolist(), strict=True))


def clusters_by_id(clusters: IndexArray) -> dict[str, int]:
    return dict(zip(IDS[: len(clusters)], clusters.tolist(), strict=True))


def accuracy_of_independent_pairs(rng: Rng) -> tuple[Metric, float]:
    # Wilson's coverage oscillates by 1.5% with the true value, because counts are integers, so the true value is sampled too.
    truth = rng.uniform(0.5, 0.9)
    return proportion(int((rng.random(200) < truth).sum()), 200), truth


def accuracy_by_prompt(n: int, truth: float) -> Simulation:
    def simulate(rng: Rng) -> tuple[Metric, float]:
        clusters = sample_prompts(rng, n, 4)
        correct = sample_effects(rng, clusters) < norm.ppf(truth)
        return bounded_mean(correct.astype(float).tolist(), clusters=clusters.tolist()), truth

    return simulate


def mean_by_prompt(rng: Rng) -> tuple[Metric, float]:
    clusters = sample_prompts(rng, 40, 4)
    return mean((3 + 2 * sample_effects(rng, clusters)).tolist(), clusters=clusters.tolist()), 3.0


def difference_by_prompt(rng: Rng) -> tuple[Metric, float]:
    clusters = sample_prompts(rng, 60, 3)
    difficulty = sample_effects(rng, clusters)
    candidate, baseline = (
        by_id((difficulty + sample_effects(rng, clusters) < bar).astype(float)) for bar in (1.0, 0.5)
    )
    truth = norm.cdf(1.0 / 2**0.5) - norm.cdf(0.5 / 2**0.5)
    return paired_difference(candidate, baseline, clusters=clusters_by_id(clusters)), float(truth)


def reward_difference_by_prompt(rng: Rng) -> tuple[Metric, float]:
    clusters = sample_prompts(rng, 100, 3)
    difficulty = sample_effects(rng, clusters)
    candidate, baseline = (by_id(difficulty + sample_effects(rng, clusters) + gain) for gain in (0.3, 0.0))
    return paired_difference(candidate, baseline, clusters=clusters_by_id(clusters)), 0.3


def mean_of_few(n: int) -> Simulation:
    def simulate(rng: Rng) -> tuple[Metric, float]:
        return mean(rng.normal(3, 2, n).tolist()), 3.0

    return simulate


def rarely_different(n: int, max_rows: int, above: float, below: float) -> Simulation:
    """Two similar students: only the candidate is correct on a fraction `above` of the rows, only the baseline on `below`."""

    def simulate(rng: Rng) -> tuple[Metric, float]:
        clusters = sample_prompts(rng, n, max_rows)
        quantile = norm.cdf(sample_effects(rng, clusters))
        candidate, baseline = (by_id(correct.astype(float)) for correct in (quantile < above, quantile > 1 - below))
        return paired_difference(candidate, baseline, clusters=clusters_by_id(clusters)), above - below

    return simulate


def outcomes(values: FloatArray) -> list[Outcome]:
    """45% wins, 25% ties, 30% losses: a true win rate of 0.575."""
    low, high = norm.ppf([0.30, 0.55])
    return ["loss" if value < low else "tie" if value < high else "win" for value in values]


def win_rate_of_independent_pairs(rng: Rng) -> tuple[Metric, float]:
    return win_rate(outcomes(rng.normal(size=150))), 0.575


def win_rate_by_prompt(rng: Rng) -> tuple[Metric, float]:
    clusters = sample_prompts(rng, 60, 4)
    return win_rate(outcomes(sample_effects(rng, clusters)), clusters=clusters.tolist()), 0.575


def win_rate_at_equal_length(rng: Rng) -> tuple[Metric, float]:
    length_differences = rng.normal(30, 100, 200)
    odds = 0.4 + np.tanh(length_differences / length_differences.std())
    results: list[Outcome] = ["win" if won else "loss" for won in rng.random(200) < 1 / (1 + np.exp(-odds))]
    return length_controlled_win_rate(results, length_differences.tolist()), 1 / (1 + np.exp(-0.4))


def sample_pgr(rng: Rng, n: int, max_rows: int, accuracies: tuple[float, float, float]) -> Metric:
    """PGR for the given accuracies of the weak model, the student and the ceiling, all higher on easy pairs."""
    clusters = sample_prompts(rng, n, max_rows)
    difficulty = sample_effects(rng, clusters)
    weak, student, ceiling = (
        by_id(((difficulty + rng.normal(size=len(difficulty))) / 2**0.5 < norm.ppf(correct)).astype(float))
        for correct in accuracies
    )
    return performance_gap_recovered(weak, student, ceiling, clusters=clusters_by_id(clusters))


def pgr_of(n: int, max_rows: int, weak: float, student: float, ceiling: float) -> Simulation:
    def simulate(rng: Rng) -> tuple[Metric, float]:
        return sample_pgr(rng, n, max_rows, (weak, student, ceiling)), (student - weak) / abs(ceiling - weak)

    return simulate


def prediction_powered(n: int, n_unlabeled: int, max_rows: int, tuned: bool) -> Simulation:
    """Accuracies estimated by a biased judge, whose predictions are correct in about three of four rows."""

    def simulate(rng: Rng) -> tuple[Metric, float]:
        labeled, unlabeled_clusters = sample_prompts(rng, n, max_rows), sample_prompts(rng, n_unlabeled, max_rows)
        labeled_effects, other_effects = sample_effects(rng, labeled), sample_effects(rng, unlabeled_clusters)
        truths = labeled_effects < 0.5
        predictions, unlabeled = (
            effect + rng.normal(0, 0.7, len(effect)) < 0.2 for effect in (labeled_effects, other_effects)
        )
        metric = ppi_mean(
            truths.astype(float).tolist(),
            predictions.astype(float).tolist(),
            unlabeled.astype(float).tolist(),
            tune_weight=tuned,
            clusters=labeled.tolist(),
            unlabeled_clusters=unlabeled_clusters.tolist(),
        )
        return metric, float(norm.cdf(0.5))

    return simulate


def two_raters(rng: Rng, n: int) -> tuple[dict[str, str], dict[str, str]]:
    """Each is independently correct with probability 0.8, so they agree with probability 0.68, and kappa is 0.36."""
    truth = rng.random(n) < 0.5
    candidate, baseline = (np.where((rng.random(n) < 0.8) == truth, "a", "b").tolist() for _ in range(2))
    return dict(zip(IDS[:n], candidate, strict=True)), dict(zip(IDS[:n], baseline, strict=True))


def kappa_of_two_raters(rng: Rng) -> tuple[Metric, float]:
    return cohen_kappa(*two_raters(rng, 100)), 0.36


def alpha_of_two_raters(rng: Rng) -> tuple[Metric, float]:
    return krippendorff_alpha(two_raters(rng, 100)), 0.36


def mean_across_seeds_and_rows(rng: Rng) -> tuple[Metric, float]:
    rows, seeds = rng.normal(size=100), rng.normal(0, 0.1, 3)
    runs = [by_id(2 + rows + seed + rng.normal(0, 0.5, 100)) for seed in seeds]
    return mean_over_seeds_and_rows(runs), 2.0


CASES: dict[str, Simulation] = {
    "accuracy, 200 pairs": accuracy_of_independent_pairs,
    "accuracy, 80 prompts": accuracy_by_prompt(80, 0.7),
    "accuracy, 100 prompts, nearly all correct": accuracy_by_prompt(100, 0.92),
    "accuracy, 30 prompts": accuracy_by_prompt(30, 0.6),
    "mean by bootstrap, 40 prompts": mean_by_prompt,
    "paired difference of outcomes, 60 prompts": difference_by_prompt,
    "paired difference by bootstrap, 100 prompts": reward_difference_by_prompt,
    "paired difference of outcomes, 300 pairs": rarely_different(300, 1, 0.10, 0.05),
    "mean of 3 rows": mean_of_few(3),
    "mean of 5 rows": mean_of_few(5),
    "win rate, 150 pairs": win_rate_of_independent_pairs,
    "win rate, 60 prompts": win_rate_by_prompt,
    "win rate at equal length, 200 pairs": win_rate_at_equal_length,
    "PGR, 300 pairs": pgr_of(300, 1, 0.60, 0.70, 0.75),
    "PGR, 120 prompts": pgr_of(120, 3, 0.60, 0.70, 0.75),
    "PGR, 200 pairs, ceiling below weak": pgr_of(200, 1, 0.75, 0.70, 0.55),
    "PPI, 100 labels and 1,000 predictions": prediction_powered(100, 1000, 1, tuned=False),
    "PPI++, 100 labels and 1,000 predictions": prediction_powered(100, 1000, 1, tuned=True),
    "PPI++, 80 prompts and 400 unlabeled": prediction_powered(80, 400, 3, tuned=True),
    "kappa, 100 pairs": kappa_of_two_raters,
    "alpha, 100 pairs": alpha_of_two_raters,
    "mean of 3 seeds and 100 rows": mean_across_seeds_and_rows,
}


@pytest.mark.parametrize("simulate", CASES.values(), ids=CASES.keys())
def test_95_percent_of_intervals_cover_the_true_value(simulate: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    # With a tenth of the resamples a bound varies by a twelfth of a standard error, which averages out over the simulations.
    monkeypatch.setattr(resampling, "N_RESAMPLES", 1000)
    covered = defined = 0
    for index in range(N_SIMULATIONS):
        metric, truth = simulate(np.random.default_rng([17, index]))
        if metric.low is not None and metric.high is not None:
            defined += 1
            covered += metric.low <= truth <= metric.high
    assert defined > 0.98 * N_SIMULATIONS
    assert abs(covered / defined - 0.95) <= 0.015


@pytest.mark.parametrize(
    "simulate",
    [rarely_different(100, 1, 0.03, 0.01), rarely_different(100, 1, 0.04, 0.0), rarely_different(100, 3, 0.05, 0.02)],
)
def test_intervals_cover_the_true_value_if_few_rows_differ(simulate: Simulation) -> None:
    covered = 0
    for index in range(N_SIMULATIONS):
        metric, truth = simulate(np.random.default_rng([19, index]))
        assert metric.low is not None and metric.high is not None
        covered += metric.low <= truth <= metric.high
    assert covered / N_SIMULATIONS >= 0.935


@pytest.mark.parametrize(
    "simulate",
    [
        rarely_different(100, 1, 0.02, 0.02),
        rarely_different(60, 4, 0.06, 0.06),
        rarely_different(300, 1, 0.2, 0.2),
        rarely_different(4, 2, 0.4, 0.4),
    ],
)
def test_the_false_positive_rate_for_equal_arms_is_at_most_5_percent(simulate: Simulation) -> None:
    n_significant = 0
    for index in range(N_SIMULATIONS):
        metric, _ = simulate(np.random.default_rng([23, index]))
        assert metric.low is not None and metric.high is not None
        n_significant += metric.low > 0 or metric.high < 0
    assert n_significant / N_SIMULATIONS <= 0.05


def test_a_plain_bootstrap_has_a_false_positive_rate_above_10_percent_if_four_rows_differ() -> None:
    n_significant = 0
    for index in range(N_SIMULATIONS):
        rng = np.random.default_rng([29, index])
        changed = rng.choice(100, 4, replace=False)
        differences = np.zeros(100)
        differences[changed] = rng.choice([-1.0, 1.0], 4)
        metric = mean(differences.tolist())
        assert metric.low is not None and metric.high is not None
        n_significant += metric.low > 0 or metric.high < 0
    assert n_significant / N_SIMULATIONS > 0.1


def test_ignoring_clusters_gives_intervals_that_are_far_too_narrow() -> None:
    covered = 0
    for index in range(N_SIMULATIONS):
        rng = np.random.default_rng([17, index])
        correct: NDArray[np.bool_] = np.repeat(rng.random(60) < 0.7, 4)
        metric = bounded_mean(correct.astype(float).tolist())
        assert metric.low is not None and metric.high is not None
        covered += metric.low <= 0.7 <= metric.high
    assert covered / N_SIMULATIONS < 0.75


def test_pgr_is_undefined_in_95_percent_of_cases_without_a_gap() -> None:
    metrics = (
        sample_pgr(np.random.default_rng([3, index]), 200, 1, (0.7, 0.75, 0.7)) for index in range(N_SIMULATIONS)
    )
    undefined = sum(metric.value is None for metric in metrics)
    assert abs(undefined / N_SIMULATIONS - 0.95) <= 0.015
