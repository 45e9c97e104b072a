"""Prints how often the interval of label worth covers the true worth: python studies/label_worth/worth_coverage.py

Students are simulated: an outcome is 1 if the accuracy of the arm, as a normal quantile, plus the effects of its training, of
the row, and of the row on the arm exceeds zero. The worth is known, because the curve of accuracy over labels is. `--draws`
sets the number of simulated studies (2,000).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import norm

from trimtab.stats import LabelWorth, proportion
from trimtab.stats.label_worth import compute_label_worth

FloatArray = NDArray[np.float64]
Interval = tuple[float, float]
# The shares of the variance of an outcome that the difficulty of a row and its effect on one arm have. The rest is its effect
# on one training.
ROW_SHARE, ARM_SHARE = 0.6, 0.25
N_RESAMPLES = 400
# Accuracies by the number of labels. The power law has the chord of a doubling below it by up to 0.001.
CURVES: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "logarithm": lambda n: 0.56 + 0.035 * np.log2(n / 250),
    "power law": lambda n: 0.72 - 0.16 * (n / 250) ** -0.5,
}


@dataclass(frozen=True, kw_only=True)
class Design:
    """A simulated study. `seed_std` is the standard deviation of an arm's accuracy between seeds, `weak_factor` multiplies that
    of the weak arm. `shared` is the share of the curve's variance between seeds that all its arms have in common. A cluster
    has `cluster_size` rows of the same difficulty."""

    name: str
    rows: int
    seeds: int
    seed_std: float
    curve: str = "power law"
    counts: tuple[int, ...] = (500, 1000, 2000, 4000)
    worth: int = 1400
    weak_factor: float = 1.0
    shared: float = 0.0
    cluster_size: int = 1

    @property
    def clusters(self) -> list[int]:
        return (np.arange(self.rows) // self.cluster_size).tolist()


SIMPLE = Design(name="1 seed, no variation between trainings", rows=1000, seeds=1, seed_std=0.0)
DESIGNS = (
    SIMPLE,
    replace(SIMPLE, name="the same, 300 rows", rows=300),
    replace(SIMPLE, name="the same, 4,000 rows", rows=4000),
    replace(SIMPLE, name="the same, on a logarithm", curve="logarithm"),
    replace(SIMPLE, name="the same, worth a point of the curve", curve="logarithm", worth=1000),
    replace(SIMPLE, name="2 seeds, SD 0.01", seeds=2, seed_std=0.01),
    replace(SIMPLE, name="2 seeds, SD 0.01, 4,000 rows", seeds=2, seed_std=0.01, rows=4000),
    replace(SIMPLE, name="3 seeds, SD 0.01", seeds=3, seed_std=0.01),
    replace(SIMPLE, name="3 seeds, SD 0.02, 500 prompts of 2 rows", seeds=3, seed_std=0.02, cluster_size=2),
    replace(SIMPLE, name="5 seeds, SD 0.01", seeds=5, seed_std=0.01),
)
# Designs that break an assumption.
VIOLATIONS = (
    replace(SIMPLE, name="1 seed, SD 0.01", seed_std=0.01),
    replace(SIMPLE, name="3 seeds, SD 0.01, weak arm 0.02", seeds=3, seed_std=0.01, weak_factor=2.0),
    replace(SIMPLE, name="3 seeds, SD 0.01, half of it common to the curve", seeds=3, seed_std=0.01, shared=0.5),
    replace(SIMPLE, name="1 seed, a curve of 500 and 4,000 labels only", counts=(500, 4000)),
    replace(SIMPLE, name="the same, 4,000 rows", counts=(500, 4000), rows=4000),
)


def simulate(design: Design, draws: int, seed: int) -> Iterator[FloatArray]:
    """Outcomes (rows, arms, seeds), the weak arm first."""
    rng = np.random.default_rng(seed)
    quantiles = norm.ppf(CURVES[design.curve](np.array([design.worth, *design.counts], dtype=float)))
    # from a standard deviation of accuracy to one of the quantile
    spread = design.seed_std * np.where(np.arange(len(quantiles)) == 0, design.weak_factor, 1.0) / norm.pdf(quantiles)
    shape = (design.rows, len(quantiles), design.seeds)
    for _ in range(draws):
        trainings = rng.normal(size=shape[1:])
        common = math.sqrt(design.shared) * rng.normal(size=design.seeds)
        trainings[1:] = common + math.sqrt(1 - design.shared) * trainings[1:]
        difficulty = np.repeat(rng.normal(size=(design.rows // design.cluster_size, 1, 1)), design.cluster_size, axis=0)
        latent = math.sqrt(1 - ROW_SHARE - ARM_SHARE) * rng.standard_normal(shape, dtype=np.float32)
        latent += math.sqrt(ARM_SHARE) * rng.standard_normal((*shape[:2], 1), dtype=np.float32)
        latent += math.sqrt(ROW_SHARE) * difficulty
        latent += (quantiles * np.sqrt(1 + spread**2))[:, None] + spread[:, None] * trainings
        yield (latent > 0).astype(np.float64)


def invert_test(table: FloatArray, design: Design, seed: int) -> Interval:
    """Trimtab's interval."""
    del seed
    return open_ends(compute_label_worth(table, design.counts, clusters=design.clusters))


def bootstrap_curve(table: FloatArray, design: Design, seed: int) -> Interval:
    """Percentiles of the value read off the increasing curve, in samples of seeds and of rows (hierarchical bootstrap)."""
    rng, n_arms = np.random.default_rng(seed), table.shape[1]
    rows = rng.multinomial(design.rows, np.full(design.rows, 1 / design.rows), size=N_RESAMPLES)
    seeds = rng.multinomial(design.seeds, np.full(design.seeds, 1 / design.seeds), size=N_RESAMPLES)
    sums = (rows @ table.reshape(design.rows, -1)).reshape(N_RESAMPLES, n_arms, design.seeds)
    means = np.einsum("bas,bs->ba", sums, seeds) / design.rows / design.seeds
    logs = np.log(design.counts)
    values = []
    for weak, *curve in means.tolist():
        levels = isotonic_regression(curve).x.tolist()
        below, above = weak < levels[0], weak > levels[-1]
        # an increasing line through the levels, so that they can be the x axis
        strict = np.array(levels) + 1e-12 * np.arange(len(levels))
        values.append(0.0 if below else math.inf if above else math.exp(np.interp(weak, strict, logs)))
    low, high = np.quantile(values, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def fit_line(table: FloatArray, design: Design, seed: int) -> Interval:
    """Fieller's interval on the straight line in the logarithm with the least squared distance to the curve."""
    del seed
    logs = np.log(design.counts)
    tested = np.geomspace(design.counts[0], design.counts[-1], 1000)
    basis = np.column_stack([np.ones(len(logs)), logs])
    weights = np.column_stack([np.ones(len(tested)), np.log(tested)]) @ np.linalg.pinv(basis)
    contrasts = table.mean(axis=2) @ np.column_stack([np.ones(len(tested)), -weights]).T
    errors = contrasts.std(axis=0, ddof=1) / math.sqrt(design.rows)
    found = np.flatnonzero(np.abs(contrasts.mean(axis=0)) <= norm.ppf(0.975) * errors)
    if not len(found):
        return (0.0, float(tested[0])) if contrasts.mean() < 0 else (float(tested[-1]), math.inf)
    low = 0.0 if found[0] == 0 else float(tested[found[0]])
    return low, math.inf if found[-1] == len(tested) - 1 else float(tested[found[-1]])


def open_ends(worth: LabelWorth) -> Interval:
    return (0.0 if worth.low is None else worth.low, math.inf if worth.high is None else worth.high)


Method = Callable[[FloatArray, Design, int], Interval]


def summarize(design: Design, method: Method, draws: int) -> list[str]:
    """Coverage with Wilson's interval, the share of intervals above and below the worth, of closed ones, and their width."""
    tables = simulate(design, draws, seed=1)
    bounds = np.array([method(table, design, seed) for seed, table in enumerate(tables)])
    # the interval holds whole numbers of labels
    is_below, is_above = bounds[:, 1] + 0.5 < design.worth, bounds[:, 0] - 0.5 > design.worth
    covered = proportion(int(draws - is_below.sum() - is_above.sum()), draws)
    closed = bounds[(bounds[:, 0] > 0) & np.isfinite(bounds[:, 1])]
    ratio = f"{np.median(closed[:, 1] / closed[:, 0]):.1f}" if len(closed) else ""
    return [
        f"{covered.value:.1%} [{covered.low:.1%}, {covered.high:.1%}]",
        f"{is_below.mean():.1%}",
        f"{is_above.mean():.1%}",
        f"{len(closed) / draws:.0%}",
        ratio,
    ]


def print_table(first: str, rows: Sequence[tuple[str, list[str]]]) -> None:
    head = [first, "coverage", "too low", "too high", "closed", "high / low"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    print_table("simulation", [(design.name, summarize(design, invert_test, draws)) for design in DESIGNS])
    print_table("assumption", [(design.name, summarize(design, invert_test, draws)) for design in VIOLATIONS])
    methods = {
        "test inversion (Trimtab)": invert_test,
        "bootstrap of the curve": bootstrap_curve,
        "straight line": fit_line,
    }
    designs = (SIMPLE, replace(SIMPLE, name="2 seeds, SD 0.01", seeds=2, seed_std=0.01))
    print_table(
        "method",
        [
            (f"{name}: {design.name}", summarize(design, method, draws))
            for design in designs
            for name, method in methods.items()
        ],
    )


if __name__ == "__main__":
    main()
