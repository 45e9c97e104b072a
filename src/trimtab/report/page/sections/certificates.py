"""Arms with certified labels: the guarantee, its assumption, and a check of it."""

from __future__ import annotations

from trimtab.metrics.exchangeability import ExchangeabilityCheck
from trimtab.metrics.label_certificate import (
    ASSUMPTION,
    CHECK_LIMITS,
    LabelCertificate,
    describe_check,
    describe_guarantee,
)
from trimtab.report.model import Report, sort_arm_names
from trimtab.report.page.sections.section import PageContents, Section
from trimtab.report.table import Column, Table, TableRow


def build_certificates_section(contents: PageContents) -> Section | None:
    tables = build_certificate_tables(contents.report)
    return Section(id="certificates", title="Certified labels", tab="Labels", tables=tables) if tables else None


def build_certificate_tables(report: Report) -> tuple[Table, ...]:
    """A table of all certificates, then a table for each that compares labeled with unlabeled pairs."""
    by_arm = {label.arm: label.certificate for label in report.labels if label.certificate is not None}
    if not by_arm:
        return ()
    arms = sort_arm_names(by_arm)
    return (
        _build_summary_table({arm: by_arm[arm] for arm in arms}),
        *(_build_check_table(arm, by_arm[arm]) for arm in arms),
    )


def _build_summary_table(certificates: dict[str, LabelCertificate]) -> Table:
    titles = (
        "Certified",
        "Confidence",
        "Share kept",
        "Threshold",
        "Correct labeled pairs above it",
        "Lower bound",
        "Labeled pairs used",
    )
    rows = tuple(
        TableRow(
            name=arm,
            cells=(
                f"{100 * each.accuracy:g}%",
                f"{100 * each.confidence:g}%",
                f"{each.share:.1%}",
                f"{each.threshold:.3f}",
                f"{each.num_correct:,} of {each.num_tested:,}",
                f"{each.accuracy_lower:.1%}",
                f"{each.num_labeled:,}",
            ),
        )
        for arm, each in certificates.items()
    )
    return Table(
        title="Certified labels",
        row_title="Labels",
        columns=tuple(Column(title=title, numeric=True) for title in titles),
        rows=rows,
        legend=f"{ASSUMPTION} {CHECK_LIMITS}",
    )


def _build_check_table(arm: str, certificate: LabelCertificate) -> Table:
    titles = ("Labeled, median", "Unlabeled, median", "P(unlabeled is higher)", "p-value")
    return Table(
        title=f"Labeled and unlabeled pairs of {arm}",
        row_title="Compared",
        columns=tuple(Column(title=title, numeric=True) for title in titles),
        rows=tuple(TableRow(name=check.quantity, cells=_format_check(check)) for check in certificate.checks),
        legend=f"{describe_guarantee(certificate)} {describe_check(certificate)}",
    )


def _format_check(check: ExchangeabilityCheck) -> tuple[str, str, str, str]:
    probability = check.probability
    return (
        _format_median(check.labeled_median),
        _format_median(check.unlabeled_median),
        f"{probability.value:.1%} [{probability.low:.1%}, {probability.high:.1%}]",
        f"{check.p_value:.3f}" if check.p_value >= 0.001 else "< 0.001",
    )


def _format_median(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value <= 1 else f"{value:,.0f}"
