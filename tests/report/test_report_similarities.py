"""Correlations of similarities: computed over shared prompts, in a table, and plotted."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from sample_report import REPORT, metric

from trimtab.report.collect.similarities import MAX_SCATTER_POINTS, SimilarityInfo, correlate_similarities
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.page.sections.similarities import build_similarity_tables
from trimtab.report.table import render_terminal_table

N = 600


def build_similarities() -> dict[str, dict[str, float]]:
    """The similarities of `weak` follow those of `human` more closely than those of `weak_model`, which lacks one prompt."""
    rng = random.Random(0)
    difficulty = {f"p{index}": rng.gauss(0, 1) for index in range(N)}
    noise = {"base": 1.0, "sft": 1.0, "human": 0.5, "weak": 0.5, "longer": 2.0, "weak_model": 2.0}
    rows = {
        row: {key: value + rng.gauss(0, scale) for key, value in difficulty.items()} for row, scale in noise.items()
    }
    del rows["weak_model"]["p7"]
    return rows


def test_the_similarities_of_an_arm_are_correlated_with_those_of_human_and_weak_model() -> None:
    rows = build_similarities()
    correlations = {each.arm: each for each in correlate_similarities("cosine", rows)}
    assert list(correlations) == ["weak", "longer"]
    shared = [key for key in rows["weak"] if key in rows["weak_model"]]
    weak, human, weak_model = ([rows[row][key] for key in shared] for row in ("weak", "human", "weak_model"))
    expected = np.corrcoef([weak, human, weak_model])[0]
    each = correlations["weak"]
    assert each.with_human.value == pytest.approx(expected[1])
    assert each.with_weak_model.value == pytest.approx(expected[2])
    assert each.difference.value == pytest.approx(expected[1] - expected[2])
    assert each.difference.n == N - 1 and each.difference.low is not None and each.difference.low > 0


def test_the_points_are_a_sample_of_the_prompts_of_the_plotted_arm() -> None:
    rows = build_similarities()
    weak, longer = correlate_similarities("cosine", rows)
    assert (len(weak.points), longer.points) == (MAX_SCATTER_POINTS, ())
    known = {(round(rows["weak"][key], 4), round(rows["human"][key], 4)) for key in rows["weak"]}
    assert {point[:2] for point in weak.points} <= known


def test_without_both_other_rows_there_is_no_correlation() -> None:
    rows = build_similarities()
    assert correlate_similarities("cosine", {key: rows[key] for key in ("weak", "human")}) == []
    assert correlate_similarities("cosine", {}) == []


def test_the_page_and_the_terminal_show_the_correlations_and_the_page_plots_them() -> None:
    report = replace(
        REPORT,
        similarities=(
            SimilarityInfo(arm="weak", compared_to="preferred_responses", value=metric(0.6, 0.1)),
            SimilarityInfo(
                arm="weak", compared_to="preferred_responses", value=metric(-0.4, 0.1), measure="learned_similarity"
            ),
        ),
        similarity_correlations=tuple(correlate_similarities("learned_similarity", build_similarities())),
    )
    page = render_html(report)
    assert "Correlation of similarities to the preferred responses (learned similarity)" in page
    assert 'aria-label="Similarity to the preferred responses by prompt: weak against human and weak_model"' in page
    assert "Learned similarity to the preferred responses: weak, 300 prompts" in page
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report
    console = Console(width=80)
    with console.capture() as capture:
        for table in build_similarity_tables(report):
            console.print(render_terminal_table(table))
    assert "with weak_model" in capture.get() and "−0.400" in capture.get()
    assert max(map(len, capture.get().splitlines())) <= 80
    assert build_similarity_tables(REPORT) == ()
