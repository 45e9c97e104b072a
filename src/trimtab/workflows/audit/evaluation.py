"""Evaluates an annotator's labels against human labels and free baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab import stats
from trimtab.annotators.length import Length
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.filters.certified import Certified
from trimtab.metrics.label_quality import (
    CalibrationMetrics,
    Labels,
    compute_agreement,
    compute_agreement_by_length,
    compute_calibration_metrics,
    compute_correctness,
    compute_label_order_inconsistency,
    get_human_choices,
)
from trimtab.metrics.optimal_fraction import SelectedFraction, iter_fractions, select_optimal_fraction
from trimtab.pipeline.stages.calibrate import (
    OutOfFoldLabels,
    apply_calibrator,
    collect_out_of_fold_labels,
    fit_calibrator,
)
from trimtab.stats import calibration
from trimtab.stats.calibration import CalibrationMethod
from trimtab.types import Choice, Metric, Pair

# Accuracies for which the share of labels that can be certified is computed.
CERTIFIED_ACCURACIES = (0.7, 0.75, 0.8, 0.85, 0.9)
# The points of the curve of accuracy over the share of labels kept.
RETAINED_FRACTIONS = tuple(tenth / 10 for tenth in range(1, 11))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEvaluation:
    """Human-labeled pairs, and labels from an annotator that was not trained on them."""

    pairs: Sequence[Pair]
    labels: Labels

    @property
    def human_choices(self) -> dict[str, Choice]:
        return get_human_choices(self.pairs)

    @property
    def labeled_pairs(self) -> list[Pair]:
        """The pairs that the annotator labeled, on which baselines are compared with it; all pairs if it labeled none."""
        labeled = [pair for pair in self.pairs if self.labels[pair.id].choice is not None]
        return labeled or list(self.pairs)

    @property
    def prompt_ids(self) -> dict[str, str]:
        return {pair.id: pair.prompt_id for pair in self.pairs}

    def compute_agreement(self, labels: Labels | None = None, among: Sequence[Pair] | None = None) -> Metric:
        """Human agreement of the labels, or of other `labels`, or over a subset of the pairs."""
        human = get_human_choices(self.pairs if among is None else among)
        return compute_agreement(self.labels if labels is None else labels, human, self.prompt_ids)

    def improvement_over(self, baseline: Labels) -> Metric:
        """The accuracy minus that of the baseline, on the same pairs."""
        human = get_human_choices(self.labeled_pairs)
        return stats.paired_difference(
            compute_correctness(self.labels, human),
            compute_correctness(baseline, human),
            clusters=self.prompt_ids,
        )

    def length_baselines(self) -> dict[str, Labels]:
        """The labels of the two length baselines."""
        return {
            name: {label.pair_id: label for label in baseline.annotate(self.pairs, AnnotatorInputs())}
            for name, baseline in (("longer", Length()), ("shorter", Length(prefer="shorter")))
        }

    def agreement_by_length(self) -> dict[str, Metric]:
        return compute_agreement_by_length(self.labels, self.pairs)

    def order_inconsistency(self, *, symmetric: bool) -> Metric | None:
        """The share of labels whose orders disagree: 0 by construction if `symmetric`; None if no label records it."""
        recorded = compute_label_order_inconsistency(self.labels)
        if recorded is None and symmetric:
            return Metric(value=0.0, low=0.0, high=0.0, n=len(self.labels), n_failed=0)
        return recorded

    def optimal_selection(self) -> tuple[SelectedFraction, dict[float, Metric]]:
        """The most informative share of top-confidence labels, and the accuracy at each of `RETAINED_FRACTIONS`."""
        known = self._out_of_fold_labels()
        confidences = [max(p, 1 - p) for p in known.p_a]
        is_correct = [(p > 0.5) == (choice == "a") for p, choice in zip(known.p_a, known.human, strict=True)]
        steps = list(iter_fractions(confidences, is_correct))
        curve = {
            fraction: min(steps, key=lambda step: abs(step.fraction - fraction)).accuracy
            for fraction in RETAINED_FRACTIONS
        }
        return select_optimal_fraction(confidences, is_correct), curve

    def certified_shares(self, pool: Labels) -> dict[float, float]:
        """The share of the most confident labels whose accuracy the filter `certified` guarantees, by accuracy; 0 for none.

        `pool` are the labels to certify. If it is empty, these are the labels of the labeled pairs themselves.
        """
        labels = list((pool or self.labels).values())
        inputs = AnnotatorInputs(labeled_pairs=self.pairs, out_of_fold_labels=self.labels)
        certifications = {
            accuracy: Certified(accuracy=accuracy).certify(labels, inputs) for accuracy in CERTIFIED_ACCURACIES
        }
        return {
            accuracy: result.certified.share if result.certified else 0.0 for accuracy, result in certifications.items()
        }

    def calibration_metrics(
        self, method: CalibrationMethod, seed: int
    ) -> tuple[CalibrationMetrics, CalibrationMetrics]:
        """Before and after calibration. Each pair is calibrated by a map fitted without its fold."""
        known = self._out_of_fold_labels()
        calibrated = calibration.cross_fit_probabilities(method, known.p_a, known.human, known.prompt_ids, seed=seed)
        return (
            compute_calibration_metrics(known.p_a, known.human, known.prompt_ids, seed),
            compute_calibration_metrics(calibrated, known.human, known.prompt_ids, seed),
        )

    def unlabeled_accuracy(
        self, pool: Labels, prompt_ids: Mapping[str, str], method: CalibrationMethod, seed: int
    ) -> Metric:
        """The expected accuracy of the pool's labels, by prediction-powered inference with calibrated confidences."""
        known = self._out_of_fold_labels()
        calibrated = calibration.cross_fit_probabilities(method, known.p_a, known.human, known.prompt_ids, seed=seed)
        is_correct = [float((p > 0.5) == (choice == "a")) for p, choice in zip(known.p_a, known.human, strict=True)]
        pool_labels = apply_calibrator(fit_calibrator(method, known, "audit"), list(pool.values()))
        pool_confidences = [max(label.p_a, 1 - label.p_a) if label.p_a is not None else 0.5 for label in pool_labels]
        return stats.ppi_mean(
            is_correct,
            [max(p, 1 - p) for p in calibrated],
            pool_confidences,
            clusters=known.prompt_ids,
            unlabeled_clusters=[prompt_ids[label.pair_id] for label in pool_labels],
        )

    def _out_of_fold_labels(self) -> OutOfFoldLabels:
        return collect_out_of_fold_labels(self.pairs, self.labels, "audit")
