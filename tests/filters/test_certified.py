"""The filter `certified` keeps labels above a certified confidence, or names the reason why it keeps none."""

from __future__ import annotations

import pytest

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.errors import DataError
from trimtab.filters.certified import Certified
from trimtab.types import Annotation, Pair, build_user_prompt


def build_inputs(outcomes: list[tuple[float, bool]], pairs_per_prompt: int = 1) -> AnnotatorInputs:
    """Labeled pairs with the given confidences, and whether their out-of-fold label is correct."""
    pairs = [
        Pair.from_responses(
            build_user_prompt(f"Question {n // pairs_per_prompt}?"), f"yes {n}", f"no {n}", preferred="first"
        )
        for n in range(len(outcomes))
    ]
    labels = {
        pair.id: Annotation(pair_id=pair.id, p_a=c if correct == (pair.human == "a") else 1 - c)
        for pair, (c, correct) in zip(pairs, outcomes, strict=True)
    }
    return AnnotatorInputs(labeled_pairs=pairs, out_of_fold_labels=labels)


LABELS = [Annotation(pair_id=f"{n}", p_a=0.9 if n % 2 else 0.4) for n in range(20)]
CONFIDENT_CORRECT = [(0.9, True)] * 100 + [(0.6, n % 2 == 0) for n in range(100)]


def test_labels_below_the_certified_confidence_are_dropped() -> None:
    assert Certified(accuracy=0.8).keep(LABELS, build_inputs(CONFIDENT_CORRECT)) == [n % 2 == 1 for n in range(20)]


def test_one_pair_of_each_prompt_is_evaluated() -> None:
    inputs = build_inputs(CONFIDENT_CORRECT, pairs_per_prompt=2)
    with pytest.raises(DataError, match="it needs 82 labeled pairs with a label, and there are 80"):
        Certified(accuracy=0.8).keep(LABELS, build_inputs(CONFIDENT_CORRECT[:80]))
    assert len({pair.prompt_id for pair in inputs.labeled_pairs}) == 100
    tests = Certified(accuracy=0.5).certify(LABELS, inputs).tests
    assert max(test.n for test in tests) == 100


def test_the_error_says_what_the_labeled_pairs_certify() -> None:
    outcomes = [(0.9, n % 10 < 7) for n in range(100)]
    with pytest.raises(
        DataError,
        match=r"80% cannot be certified with 95% confidence: of the 50% most confident labels, 70 of 100 are correct on the "
        r"labeled pairs, which certifies 61\.6%",
    ):
        Certified(accuracy=0.8).keep(LABELS, build_inputs(outcomes))


def test_labels_without_a_preference_are_never_kept() -> None:
    labels = [*LABELS, Annotation(pair_id="none", p_a=None, status="abstained")]
    assert Certified(accuracy=0.8).keep(labels, build_inputs(CONFIDENT_CORRECT))[-1] is False
