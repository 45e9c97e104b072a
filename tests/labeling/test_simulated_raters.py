"""Simulated raters of known accuracy and side bias: the summary's intervals contain the true values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from trimtab.labeling.events import LabelingSettings, RaterAnswer
from trimtab.labeling.presentation_queue import build_presentation_queue
from trimtab.labeling.rater_history import RaterHistory
from trimtab.labeling.rater_summary import RaterSummary, summarize_raters
from trimtab.types import Choice, Metric

NUM_SIMULATIONS = 200
PAIR_IDS = [f"pair-{i}" for i in range(300)]
PROMPTS = {pair_id: pair_id for pair_id in PAIR_IDS}


@dataclass(frozen=True)
class SimulatedRater:
    """Chooses the left side without reading with probability `side_bias`, else the better response with `accuracy`."""

    accuracy: float
    side_bias: float

    @property
    def correct_by_side(self) -> tuple[float, float]:
        """The probability of a correct answer if the better response is on the left, and if it is on the right."""
        read = (1 - self.side_bias) * self.accuracy
        return self.side_bias + read, read

    @property
    def left_share(self) -> float:
        return (1 + self.side_bias) / 2

    @property
    def self_consistency(self) -> float:
        """The answer is the same response both times, with the sides swapped."""
        left, right = self.correct_by_side
        return left * right + (1 - left) * (1 - right)

    def answer(
        self, name: str, better: dict[str, Choice], settings: LabelingSettings, rng: np.random.Generator
    ) -> RaterHistory:
        queue = build_presentation_queue(PAIR_IDS, name, settings)
        draws = rng.random((len(queue), 2))
        history = RaterHistory()
        for presentation, (unread, correct) in zip(queue, draws, strict=True):
            is_better_left = better[presentation.pair_id] == presentation.left
            is_left = unread < self.side_bias or (correct < self.accuracy) == is_better_left
            history.answers.append(
                RaterAnswer(
                    id=presentation.id,
                    pair=presentation.pair_id,
                    is_repeat=presentation.is_repeat,
                    left=presentation.left,
                    choice="left" if is_left else "right",
                    note="",
                    milliseconds=1000,
                    inclusion_probability=1.0,
                    time="",
                )
            )
        return history


RATERS = {"ana": SimulatedRater(accuracy=0.85, side_bias=0.2), "ben": SimulatedRater(accuracy=0.75, side_bias=0.0)}


def simulate(seed: int) -> RaterSummary:
    rng = np.random.default_rng(seed)
    better: dict[str, Choice] = {
        pair_id: "a" if first else "b" for pair_id, first in zip(PAIR_IDS, rng.random(300) < 0.5, strict=True)
    }
    settings = LabelingSettings(seed=seed, limit=200, overlap=0.5, repeats=0.3)
    histories = {name: rater.answer(name, better, settings, rng) for name, rater in RATERS.items()}
    return summarize_raters(histories, PROMPTS)


def test_self_consistency_side_bias_and_agreement_are_recovered() -> None:
    ana, ben = ((sum(rater.correct_by_side) / 2) for rater in RATERS.values())
    agreement = ana * ben + (1 - ana) * (1 - ben)
    # a and b are equally often the better response, so chance agreement is one half
    true_kappa = 2 * agreement - 1
    covered: Counter[str] = Counter()
    for seed in range(NUM_SIMULATIONS):
        summary = simulate(seed)
        (pair,) = summary.agreements
        assert summary.alpha is not None
        values: dict[str, tuple[Metric, float]] = {
            "agreement": (pair.agreement, agreement),
            "kappa": (pair.kappa, true_kappa),
            "alpha": (summary.alpha, true_kappa),
        }
        for rater in summary.raters:
            truth = RATERS[rater.rater]
            values[f"{rater.rater}: self-consistency"] = rater.self_consistency, truth.self_consistency
            values[f"{rater.rater}: left"] = rater.left_share, truth.left_share
        covered.update(name for name, (metric, true) in values.items() if contains(metric, true))
    # 190 of 200 are expected, with a standard deviation of 3
    assert len(covered) == 7
    assert {name: count for name, count in covered.items() if count < 181} == {}


def contains(metric: Metric, value: float) -> bool:
    assert metric.low is not None
    assert metric.high is not None
    return metric.low <= value <= metric.high


def test_a_strong_side_bias_is_detected_and_a_fair_rater_is_not() -> None:
    biased, fair = simulate(0).raters
    assert not contains(biased.left_share, 0.5)
    assert contains(fair.left_share, 0.5)
