"""Forecasts how many human labels an annotator's labels are worth, for the ways to train on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab.metrics.label_quality import Labels
from trimtab.metrics.label_worth_forecast import forecast_label_worth
from trimtab.metrics.optimal_fraction import SelectedFraction
from trimtab.pipeline.stages.calibrate import collect_out_of_fold_labels
from trimtab.stats import calibration
from trimtab.stats.calibration import CalibrationMethod
from trimtab.types import Metric
from trimtab.workflows.audit.evaluation import LabelEvaluation

# Without unlabeled pairs, the forecast is for this number of labels.
DEFAULT_NUM_LABELS = 1000
USE_TITLES = {
    "hard": "hard labels",
    "weighted": "weighted by calibrated 2p − 1",
    "optimal_fraction": "hard, the most informative fraction",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorthForecast:
    """Forecasts for `num_labels` labels: the number of human labels that they are worth, by a key of `USE_TITLES`."""

    num_labels: int
    by_use: dict[str, Metric]

    def rows(self) -> Iterator[tuple[str, str]]:
        """A title and a formatted forecast for each use."""
        for use, worth in self.by_use.items():
            bounds = "" if worth.low is None or worth.high is None else f" [{worth.low:,.0f}, {worth.high:,.0f}]"
            yield USE_TITLES[use], f"{worth.value or 0.0:,.0f}{bounds}"


def build_worth_forecast(
    evaluation: LabelEvaluation, pool: Labels, selection: SelectedFraction, method: CalibrationMethod, seed: int
) -> WorthForecast:
    """The forecast for the labels of the `pool`, or for `DEFAULT_NUM_LABELS` labels if it is empty.

    `selection` is the most informative fraction of the labels; it was chosen on the same pairs, so its forecast is optimistic.
    """
    known = collect_out_of_fold_labels(evaluation.pairs, evaluation.labels, "audit")
    calibrated = calibration.cross_fit_probabilities(method, known.p_a, known.human, known.prompt_ids, seed=seed)
    is_correct = [(p > 0.5) == (choice == "a") for p, choice in zip(known.p_a, known.human, strict=True)]
    confidences = [max(p, 1 - p) for p in known.p_a]
    num_selected = round(selection.fraction * len(confidences))
    threshold = sorted(confidences, reverse=True)[num_selected - 1]
    weights = {
        "hard": [1.0] * len(confidences),
        "weighted": [abs(2 * p - 1) for p in calibrated],
        "optimal_fraction": [float(confidence >= threshold) for confidence in confidences],
    }
    num_labels = sum(label.choice is not None for label in pool.values()) or DEFAULT_NUM_LABELS
    return WorthForecast(
        num_labels=num_labels,
        by_use={
            use: forecast_label_worth(each, is_correct, num_labels, clusters=known.prompt_ids, seed=seed)
            for use, each in weights.items()
            if any(each)
        },
    )
