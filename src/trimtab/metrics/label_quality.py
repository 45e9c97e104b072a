"""What an audit counts: an annotator's labels beside people's, beside rules that cost nothing, and by length and sureness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab import stats
from trimtab.annotators.length import Length
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.metrics.optimal_fraction import SelectedFraction, iter_fractions, select_optimal_fraction
from trimtab.pipeline.stages.calibrate import (
    OutOfFoldLabels,
    apply_calibrator,
    collect_out_of_fold_labels,
    fit_calibrator,
)
from trimtab.stats import calibration
from trimtab.stats.calibration import CalibrationMethod, ReliabilityBin
from trimtab.types import Annotation, Choice, Metric, Pair

Labels = Mapping[str, Annotation]
# Points of the curve of accuracy over the share that is kept.
KEPT_FRACTIONS = tuple(place / 10 for place in range(1, 11))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationMetrics:
    """How far probabilities are from what happens, before calibration or after it."""

    brier: Metric
    log_loss: Metric
    calibration_error: Metric
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEvaluation:
    """Pairs with human labels, and the labels of an annotator that did not learn from them."""

    pairs: Sequence[Pair]
    labels: Labels

    @property
    def human_choices(self) -> dict[str, Choice]:
        return {pair.id: pair.human for pair in self.pairs if pair.human is not None}

    @property
    def prompt_ids(self) -> dict[str, str]:
        return {pair.id: pair.prompt_id for pair in self.pairs}

    def compute_agreement(self, labels: Labels | None = None, among: Sequence[Pair] | None = None) -> Metric:
        """With people, over prompts; of other labels, or among some pairs alone."""
        found = self.labels if labels is None else labels
        kept = {pair.id for pair in (self.pairs if among is None else among)}
        human = {key: choice for key, choice in self.human_choices.items() if key in kept}
        choices = {key: label.choice for key, label in found.items()}
        return stats.agreement_rate(choices, human, clusters=self.prompt_ids)

    def compute_correctness(self, labels: Labels | None = None) -> dict[str, float]:
        """By pair: 1 where the label is people's, 0 where not, a half where it prefers nothing."""
        found = self.labels if labels is None else labels
        return {
            key: 0.5 if found[key].choice is None else float(found[key].choice == choice)
            for key, choice in self.human_choices.items()
            if key in found
        }

    def improvement_over(self, over: Labels) -> Metric:
        """The annotator's share of right labels less the other's on the same pairs."""
        return stats.paired_difference(
            self.compute_correctness(), self.compute_correctness(over), clusters=self.prompt_ids
        )

    def length_baselines(self) -> dict[str, Labels]:
        """The labels of the two rules of length."""
        return {
            name: {each.pair_id: each for each in rule.annotate(self.pairs, AnnotatorInputs())}
            for name, rule in (("longest", Length()), ("shortest", Length(prefer="shorter")))
        }

    def agreement_by_length(self) -> dict[str, Metric]:
        """Agreement where people prefer the longer response and where the shorter one, and by thirds of how much the lengths
        differ, in characters over the longer one's."""
        longer, shorter = ([pair for pair in self.pairs if _prefers_longer(pair) is want] for want in (True, False))
        ranked = sorted(self.pairs, key=lambda pair: (_relative_length_difference(pair), pair.id))
        cut = [round(len(ranked) * place / 3) for place in range(4)]
        thirds = {
            name: ranked[cut[place] : cut[place + 1]]
            for place, name in enumerate(("much_alike", "somewhat_apart", "far_apart"))
        }
        groups = {"people_prefer_longer": longer, "people_prefer_shorter": shorter, **thirds}
        return {name: self.compute_agreement(among=pairs) for name, pairs in groups.items()}

    def order_inconsistency(self, *, symmetric: bool) -> Metric | None:
        """How often the two orders contradict each other: 0 by its make for a symmetric annotator; None where nobody tells."""
        told = [bool(each.detail["flipped"]) for each in self.labels.values() if "flipped" in each.detail]
        if told:
            return stats.proportion(sum(told), len(told), len(self.labels) - len(told))
        return Metric(value=0.0, low=0.0, high=0.0, n=len(self.labels), n_failed=0) if symmetric else None

    def optimal_selection(self) -> tuple[SelectedFraction, dict[float, Metric]]:
        """The share of the surest labels that is worth most, and the accuracy at every tenth."""
        known = self._held_out_labels()
        sure = [max(p, 1 - p) for p in known.p_a]
        right = [(p > 0.5) == (choice == "a") for p, choice in zip(known.p_a, known.human, strict=True)]
        steps = list(iter_fractions(sure, right))
        curve = {share: min(steps, key=lambda each: abs(each.fraction - share)).accuracy for share in KEPT_FRACTIONS}
        return select_optimal_fraction(sure, right), curve

    def calibration_metrics(
        self, method: CalibrationMethod, seed: int
    ) -> tuple[CalibrationMetrics, CalibrationMetrics]:
        """Before calibration, and after it, each pair by a map that was fitted without its fold."""
        known = self._held_out_labels()
        after = calibration.cross_fit_probabilities(method, known.p_a, known.human, known.prompt_ids, seed=seed)
        return _compute_calibration_metrics(known.p_a, known, seed), _compute_calibration_metrics(after, known, seed)

    def unlabeled_accuracy(
        self, pool: Labels, prompts: Mapping[str, str], method: CalibrationMethod, seed: int
    ) -> Metric:
        """Expected accuracy of the labels of the pool, whose pairs' prompts are given, prediction-powered by the calibrated
        sureness of both."""
        known = self._held_out_labels()
        after = calibration.cross_fit_probabilities(method, known.p_a, known.human, known.prompt_ids, seed=seed)
        right = [float((p > 0.5) == (choice == "a")) for p, choice in zip(known.p_a, known.human, strict=True)]
        mapped = apply_calibrator(fit_calibrator(method, known, "audit"), list(pool.values()))
        sure = [max(each.p_a, 1 - each.p_a) if each.p_a is not None else 0.5 for each in mapped]
        return stats.ppi_mean(
            right,
            [max(p, 1 - p) for p in after],
            sure,
            clusters=known.prompt_ids,
            unlabeled_clusters=[prompts[each.pair_id] for each in mapped],
        )

    def _held_out_labels(self) -> OutOfFoldLabels:
        return collect_out_of_fold_labels(self.pairs, self.labels, "audit")


def _compute_calibration_metrics(p_a: Sequence[float], known: OutOfFoldLabels, seed: int) -> CalibrationMetrics:
    return CalibrationMetrics(
        brier=calibration.brier_score(p_a, known.human, clusters=known.prompt_ids, seed=seed),
        log_loss=calibration.log_loss(p_a, known.human, clusters=known.prompt_ids, seed=seed),
        calibration_error=calibration.equal_mass_calibration_error(p_a, known.human),
        reliability=calibration.reliability_curve(p_a, known.human),
    )


def _prefers_longer(pair: Pair) -> bool | None:
    if pair.human is None or len(pair.a) == len(pair.b):
        return None
    return (len(pair.a) > len(pair.b)) == (pair.human == "a")


def _relative_length_difference(pair: Pair) -> float:
    return abs(len(pair.a) - len(pair.b)) / max(len(pair.a), len(pair.b), 1)
