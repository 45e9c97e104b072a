"""Keeps the largest share of confident labels whose accuracy is certified on the labeled pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import Field

from trimtab.core.annotator_inputs import AnnotatorInputs, Requirements
from trimtab.core.component import Component
from trimtab.errors import NoLabelsError
from trimtab.filters._shared.ranking import compute_confidence
from trimtab.metrics.exchangeability import check_exchangeability
from trimtab.metrics.label_certificate import LabelCertificate
from trimtab.stats.certification import Certification, certify_labels
from trimtab.types import Annotation


class Certified(Component):
    """Keeps the labels above the loosest confidence threshold at which their accuracy is certified (our method).

    With probability `confidence`, the expected accuracy of the kept labels is at least `accuracy`. The guarantee assumes that
    labeled and unlabeled pairs are exchangeable. The labeled pairs' labels come from annotators that were not trained on them:
    a trained annotator is trained once per fold of `folds`, and the guarantee also assumes that the annotator trained on all
    labeled pairs is at least as accurate as those of the folds. One labeled pair per prompt is used. Method:
    `stats.certification`.
    """

    accuracy: float = Field(0.8, ge=0.5, lt=1, description="our default; at least 0.5")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="our default; probability that the guarantee holds")
    folds: int = Field(5, ge=2, le=50, description="our default")

    def requirements(self) -> Requirements:
        return Requirements(cross_fit_folds=self.folds, label_fields=frozenset({"confidence"}), uncalibrated=True)

    def keep(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> list[bool]:
        """Raises `NoLabelsError` if no threshold can be certified."""
        certification = self.certify(annotations, inputs)
        certified = certification.certified
        if certified is None:
            raise NoLabelsError(f"no labels kept: {self._describe_failure(certification, inputs)}")
        return [label.choice is not None and compute_confidence(label) >= certified.threshold for label in annotations]

    def collect_facts(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> dict[str, Any]:
        """For the record, `certificate`: the fields of a `LabelCertificate`, or None if nothing is certified."""
        certified = self.certify(annotations, inputs).certified
        if certified is None:
            return {"certificate": None}
        labels = (*annotations, *inputs.out_of_fold_labels.values())
        certificate = LabelCertificate(
            accuracy=self.accuracy,
            confidence=self.confidence,
            threshold=certified.threshold,
            share=certified.share,
            num_labeled=len(collect_evaluated_labels(inputs)),
            num_tested=certified.n,
            num_correct=certified.num_correct,
            accuracy_lower=certified.accuracy_lower,
            checks=check_exchangeability(
                inputs.labeled_pairs,
                [inputs.pairs[label.pair_id] for label in annotations],
                {label.pair_id: compute_confidence(label) for label in labels if label.choice is not None},
            ),
        )
        return {"certificate": asdict(certificate)}

    def certify(self, annotations: Sequence[Annotation], inputs: AnnotatorInputs) -> Certification:
        """The tests on the labeled pairs. Raises `NoLabelsError` if no label prefers a response."""
        confidences = [compute_confidence(label) for label in annotations if label.choice is not None]
        if not confidences:
            raise NoLabelsError(f"no labels kept: none of {len(annotations)} labels prefers a response")
        labeled = collect_evaluated_labels(inputs)
        return certify_labels(
            confidences,
            [confidence for confidence, _ in labeled],
            [correct for _, correct in labeled],
            accuracy=self.accuracy,
            confidence=self.confidence,
        )

    def _describe_failure(self, certification: Certification, inputs: AnnotatorInputs) -> str:
        goal = f"an accuracy of {100 * self.accuracy:g}% cannot be certified with {100 * self.confidence:g}% confidence"
        if not certification.tests:
            found = len(collect_evaluated_labels(inputs))
            return (
                f"{goal}: it needs {certification.min_pairs} labeled pairs with a confident label, and {found} have a label; "
                "add human labels, or lower `accuracy`"
            )
        test = certification.tests[0]
        return (
            f"{goal}: of the {100 * test.share:.0f}% most confident labels, {test.num_correct} of {test.n} are correct on the "
            f"labeled pairs, which certifies {100 * test.accuracy_lower:.1f}%; lower `accuracy`, add human labels, or use a "
            "better annotator"
        )


def collect_evaluated_labels(inputs: AnnotatorInputs) -> list[tuple[float, bool]]:
    """Confidence and correctness of the labeled pairs' labels, of one pair per prompt, because pairs of a prompt depend on
    each other."""
    evaluated: dict[str, tuple[float, bool]] = {}
    for pair in sorted(inputs.labeled_pairs, key=lambda pair: pair.id):
        label = inputs.out_of_fold_labels.get(pair.id)
        if label is not None and label.choice is not None and pair.human is not None:
            evaluated.setdefault(pair.prompt_id, (compute_confidence(label), label.choice == pair.human))
    return list(evaluated.values())
