"""What a certificate of labels guarantees, what it assumes, and whether the assumption holds as far as it can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trimtab.errors import DataError
from trimtab.metrics.exchangeability import ExchangeabilityCheck, list_differences


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCertificate:
    """The guarantee of the filter `certified`: with probability `confidence`, labels with a confidence of at least `threshold`
    have an expected accuracy of at least `accuracy`.

    `share` of the labels that prefer a response are above the threshold. Of `num_labeled` labeled pairs, one per prompt,
    `num_tested` are above it, and `num_correct` of their labels are correct, which certifies `accuracy_lower`. `checks` compare
    labeled and unlabeled pairs; they are empty if there are too few.
    """

    accuracy: float
    confidence: float
    threshold: float
    share: float
    num_labeled: int
    num_tested: int
    num_correct: int
    accuracy_lower: float
    checks: tuple[ExchangeabilityCheck, ...]


# What every certificate assumes.
ASSUMPTION = (
    "The guarantee assumes that labeled and unlabeled pairs are exchangeable, that is, sampled in the same way and judged by "
    "the same rules, and that an annotator trained on all labeled pairs is at least as accurate as those trained on folds of "
    "them."
)
# What the check cannot show.
CHECK_LIMITS = (
    "The check compares lengths, words and confidences only. It cannot show whether human annotators would judge the unlabeled "
    "pairs by other rules, or whether labels of the same confidence are less often correct on them."
)


def parse_certificate(place: str, facts: Mapping[str, Any]) -> LabelCertificate | None:
    """The certificate among the facts of a record, or None. Raises `DataError`, which names the `place`, if it is damaged."""
    value = facts.get("certificate")
    if value is None:
        return None
    try:
        return TypeAdapter(LabelCertificate).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(f"{place}: certificate.{field}: {first['msg']}; run the study again") from error


def describe_certificate(certificate: LabelCertificate | None) -> list[str]:
    """The guarantee, its assumption, and the check, one sentence or more each; empty without a certificate."""
    if certificate is None:
        return []
    return [describe_guarantee(certificate), ASSUMPTION, f"{describe_check(certificate)} {CHECK_LIMITS}"]


def describe_guarantee(certificate: LabelCertificate) -> str:
    return (
        f"With {100 * certificate.confidence:g}% confidence, at least {100 * certificate.accuracy:g}% of labels like the kept "
        f"ones are correct: those with a confidence of at least {certificate.threshold:.3f}, {certificate.share:.0%} of the "
        f"labels. On labeled pairs above this threshold, {certificate.num_correct:,} of {certificate.num_tested:,} labels are "
        f"correct, which certifies {certificate.accuracy_lower:.1%}; {certificate.num_labeled:,} labeled pairs, one per "
        "prompt, were used."
    )


def describe_check(certificate: LabelCertificate) -> str:
    """The result of the check, and what it means."""
    if not certificate.checks:
        return "The check was not made, because there are too few labeled or unlabeled pairs."
    differences = list_differences(certificate.checks)
    if not differences:
        compared = ", ".join(check.quantity for check in certificate.checks)
        return f"No difference was found between labeled and unlabeled pairs ({compared})."
    return (
        f"Labeled and unlabeled pairs differ in {', '.join(differences)}: the guarantee may not hold for the unlabeled pairs. "
        "To restore it, give human labels to a random sample of the unlabeled pairs."
    )
