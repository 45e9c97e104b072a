"""The filter `certified` keeps labels above a certified confidence, or names the reason why it keeps none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.errors import DataError
from trimtab.filters.certified import Certified
from trimtab.metrics.label_certificate import describe_check, describe_guarantee, parse_certificate
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
    with pytest.raises(DataError, match="it needs 82 labeled pairs with a confident label, and 80 have a label"):
        Certified(accuracy=0.8).keep(LABELS[::2], build_inputs(CONFIDENT_CORRECT[:80]))
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


def build_unlabeled(count: int) -> tuple[list[Annotation], dict[str, Pair]]:
    """Labels of new pairs; the first half has the confidence 0.9, the second 0.6."""
    pairs = [
        Pair.from_responses(build_user_prompt(f"New question {n}?"), f"yes {n}", f"no {n}", preferred="first")
        for n in range(count)
    ]
    labels = [Annotation(pair_id=pair.id, p_a=0.9 if n < count // 2 else 0.4) for n, pair in enumerate(pairs)]
    return labels, {pair.id: pair for pair in pairs}


def test_the_record_states_the_guarantee_and_a_check_of_its_assumption() -> None:
    labels, pairs = build_unlabeled(100)
    component, inputs = Certified(accuracy=0.8), replace(build_inputs(CONFIDENT_CORRECT), pairs=pairs)
    facts = component.collect_facts(labels, inputs)
    certificate = parse_certificate("filter.arm", json.loads(json.dumps(facts)))
    assert certificate is not None
    assert (certificate.threshold, certificate.share) == (0.9, 0.5)
    assert (certificate.num_labeled, certificate.num_tested, certificate.num_correct) == (200, 100, 100)
    assert certificate.accuracy_lower == pytest.approx(0.05 ** (1 / 100))
    assert describe_guarantee(certificate) == (
        "With 95% confidence, at least 80% of labels like the kept ones are correct: those with a confidence of at least "
        "0.900, 50% of the labels. On labeled pairs above this threshold, 100 of 100 labels are correct, which certifies "
        "97.0%; 200 labeled pairs, one per prompt, were used."
    )
    confidence = next(check for check in certificate.checks if check.quantity == "confidence")
    # half of both sides have 0.9, half 0.6
    assert confidence.probability.value == 0.5
    # `New` is in every unlabeled prompt, and fewer numbers have three digits
    assert "Labeled and unlabeled pairs differ in prompt length, response length, words: " in describe_check(
        certificate
    )


def test_without_a_certificate_the_record_says_so() -> None:
    labels, pairs = build_unlabeled(100)
    inputs = replace(build_inputs([(0.9, n % 2 == 0) for n in range(100)]), pairs=pairs)
    assert Certified(accuracy=0.8).collect_facts(labels, inputs) == {"certificate": None}


def test_a_check_of_few_pairs_is_not_made() -> None:
    labels, pairs = build_unlabeled(10)
    inputs = replace(build_inputs(CONFIDENT_CORRECT), pairs=pairs)
    certificate = parse_certificate("filter.arm", Certified(accuracy=0.8).collect_facts(labels, inputs))
    assert certificate is not None and certificate.checks == ()
    assert describe_check(certificate).startswith("The check was not made")


def test_a_damaged_certificate_is_an_error_that_names_the_field() -> None:
    labels, pairs = build_unlabeled(10)
    facts = Certified(accuracy=0.8).collect_facts(labels, replace(build_inputs(CONFIDENT_CORRECT), pairs=pairs))
    assert parse_certificate("filter.arm", {}) is None
    with pytest.raises(DataError, match=r"filter\.arm: certificate\.share: .*; run the study again"):
        parse_certificate("filter.arm", {"certificate": {**facts["certificate"], "share": "half"}})
