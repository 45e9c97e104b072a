"""The table of rounds."""

from __future__ import annotations

from dataclasses import replace

from sample_report import REPORT, metric

from trimtab.report.collect.rounds import RoundInfo
from trimtab.report.page.sections.rounds import build_round_tables
from trimtab.types import Metric

MEASURED = {"anchor_agreement": metric(0.7, 0.1), "confidence": metric(0.6, 0.01), "coverage": metric(1.0, 0.0)}


def build_rounds(*own: dict[str, Metric]) -> tuple[RoundInfo, ...]:
    return tuple(
        RoundInfo(
            row="weak" if number == 1 else f"weak.round-{number}",
            arm="weak",
            number=number,
            n_prompts=9,
            n_pairs=9,
            metrics={**MEASURED, **metrics},
        )
        for number, metrics in enumerate(own, start=1)
    )


def list_columns(rounds: tuple[RoundInfo, ...]) -> list[str]:
    (table,) = build_round_tables(replace(REPORT, rounds=rounds))
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    return [column.title for column in table.columns]


def test_agreement_has_a_column_only_if_a_round_has_human_labels() -> None:
    assert list_columns(build_rounds({}, {}))[:2] == ["Agreement on anchors", "Confidence"]
    with_labels = build_rounds({"agreement": metric(0.6, 0.1)}, {})
    assert list_columns(with_labels)[:2] == ["Agreement", "Agreement on anchors"]


def test_the_legend_does_not_explain_a_column_that_is_not_there() -> None:
    (without,) = build_round_tables(replace(REPORT, rounds=build_rounds({}, {})))
    assert "the round's own pairs" not in without.legend
    assert "the anchors, the test pairs" in without.legend
    (table,) = build_round_tables(replace(REPORT, rounds=build_rounds({"agreement": metric(0.6, 0.1)}, {})))
    assert "of the round's own pairs, and of the anchors" in table.legend
