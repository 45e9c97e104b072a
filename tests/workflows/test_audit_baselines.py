"""The length baselines of an audit are computed on the pairs that the annotator labeled."""

from __future__ import annotations

import pytest

from trimtab.types import Annotation, Pair, build_user_prompt
from trimtab.workflows.audit.evaluation import LabelEvaluation

# Humans prefer the longer response in the 20 pairs that the annotator labels, and the shorter one in the 20 that it does not.
PAIRS = [
    Pair(
        id=f"{n}",
        prompt=build_user_prompt(f"Question {n}?"),
        a="long answer",
        b="no",
        human="a" if n < 20 else "b",
    )
    for n in range(40)
]
LABELS = {
    pair.id: Annotation(pair_id=pair.id, p_a=0.9 if n < 15 else 0.2)
    if n < 20
    else Annotation(pair_id=pair.id, p_a=None, status="abstained")
    for n, pair in enumerate(PAIRS)
}


def test_a_baseline_is_compared_on_the_pairs_that_the_annotator_labels() -> None:
    evaluation = LabelEvaluation(pairs=PAIRS, labels=LABELS)
    longer = evaluation.length_baselines()["longer"]
    baseline = evaluation.compute_agreement(longer, evaluation.labeled_pairs)
    assert (baseline.value, baseline.n) == (1.0, 20)
    assert evaluation.compute_agreement().value == 15 / 20
    improvement = evaluation.improvement_over(longer)
    assert improvement.value == pytest.approx(-0.25)
    assert improvement.n == 20


def test_without_labels_a_baseline_has_all_pairs() -> None:
    nothing = {pair.id: Annotation(pair_id=pair.id, p_a=None, status="abstained") for pair in PAIRS}
    assert len(LabelEvaluation(pairs=PAIRS, labels=nothing).labeled_pairs) == 40
