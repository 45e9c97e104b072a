"""The certificates of labels: on the page, in the terminal, and in `report.json`."""

from __future__ import annotations

import json
from dataclasses import replace

from rich.console import Console
from sample_report import LABELS, REPORT, metric

from trimtab.metrics.exchangeability import ExchangeabilityCheck
from trimtab.metrics.label_certificate import LabelCertificate
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.page.sections.certificates import build_certificate_tables
from trimtab.report.table import render_terminal_table

CERTIFICATE = LabelCertificate(
    accuracy=0.8,
    confidence=0.95,
    threshold=0.8125,
    share=0.35,
    num_labeled=489,
    num_tested=143,
    num_correct=124,
    accuracy_lower=0.8106,
    checks=(
        ExchangeabilityCheck(
            quantity="response length",
            labeled_median=201.5,
            unlabeled_median=1_310.0,
            probability=metric(0.61, 0.04, n=1_489),
            p_value=1e-7,
        ),
        ExchangeabilityCheck(
            quantity="words",
            labeled_median=None,
            unlabeled_median=None,
            probability=metric(0.51, 0.03, n=1_489),
            p_value=0.51,
        ),
    ),
)
CERTIFIED = replace(REPORT, labels=(replace(LABELS[0], certificate=CERTIFICATE), *LABELS[1:]))


def test_the_tables_have_the_guarantee_the_check_and_what_they_mean() -> None:
    console = Console(width=120)
    summary, checks = build_certificate_tables(CERTIFIED)
    assert [row.cells for row in summary.rows] == [
        ("80%", "95%", "35.0%", "0.812", "124 of 143", "81.1%", "489"),
    ]
    assert [row.cells for row in checks.rows] == [
        ("202", "1,310", "61.0% [57.0%, 65.0%]", "< 0.001"),
        ("", "", "51.0% [48.0%, 54.0%]", "0.510"),
    ]
    with console.capture() as captured:
        for table in (summary, checks):
            console.print(render_terminal_table(table))
    text = " ".join(captured.get().split())
    assert "assumes that labeled and unlabeled pairs are exchangeable" in text
    assert "Labeled and unlabeled pairs differ in response length: the guarantee may not hold" in text


def test_the_page_has_the_section_only_if_labels_are_certified() -> None:
    assert "Certified labels" in render_html(CERTIFIED)
    assert "Certified labels" not in render_html(REPORT)
    assert build_certificate_tables(REPORT) == ()


def test_report_json_returns_the_certificate() -> None:
    document = json.loads(json.dumps(report_to_json(CERTIFIED)))
    assert document["label_info"]["weak"]["certificate"]["num_correct"] == 124
    assert report_from_json(document) == CERTIFIED
