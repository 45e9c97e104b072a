"""Label worth in reports: the curve of a run, the sentence, the table, the figure and the JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sample_report import REPORT

from trimtab.config.study import Study
from trimtab.core.plain_text import render_plain_text
from trimtab.pipeline.plan.labeling_stages import build_arms
from trimtab.report.collect.arm_values import ArmValues
from trimtab.report.collect.label_worth import CurvePoint, LabelWorthInfo, collect_label_worths
from trimtab.report.model import Report, report_from_json, report_to_json
from trimtab.report.page.learning_curve_figure import draw_learning_curve
from trimtab.report.page.sections.label_worth import build_label_worth_section, build_worth_tables
from trimtab.report.page.sections.section import PageContents
from trimtab.report.run_comparison.collect import ComparedRun, RunComparison
from trimtab.report.run_comparison.json_format import run_comparison_to_json
from trimtab.report.run_comparison.page import render_run_comparison_page
from trimtab.report.run_comparison.seeds import find_varied_seed
from trimtab.report.run_comparison.terminal import render_run_comparison_tables
from trimtab.report.run_reader import Run, RunRow
from trimtab.report.table import render_terminal_table
from trimtab.report.text.label_worth import build_label_worth_sentence, format_label_worth
from trimtab.report.text.verdict import build_verdict
from trimtab.stats import LabelWorth
from trimtab.types import Annotation, Pair, build_human_annotation, build_user_prompt

INSIDE = LabelWorth(
    position="inside", value=1873.2, low=1204.0, high=None, smallest=500, largest=3870, n=512, n_failed=0, n_seeds=1
)
CURVE = (
    CurvePoint(arm="human_500", num_labels=500, value=0.58),
    CurvePoint(arm="human_2000", num_labels=2000, value=0.63),
    CurvePoint(arm="human", num_labels=3870, value=0.64),
)
WEAK = LabelWorthInfo(
    arm="weak", metric="accuracy", value=0.628, worth=INSIDE, curve=CURVE, labels_used=500, label_price=0.5
)
STUDY = """
name: curve
data: {kind: starter}
models: {weak: smollm2-135m-instruct, student: smollm2-135m-instruct}
label_price: 2
arms:
  human_2: {annotator: human, filter: {kind: subset, num_labels: 2}}
  human_4: {annotator: human, filter: {kind: subset, num_labels: 4}}
  other_dpo: {annotator: human, filter: {kind: subset, num_labels: 3}, dpo: {lora_r: 4}}
  longer: {annotator: length}
  length_calibrated: {annotator: length, calibration: {}}
  some_weak: {annotator: human, filter: {kind: subset, arm: weak}}
"""
PAIRS = [Pair.from_responses(build_user_prompt(f"Question {index}"), "yes", "no", "first") for index in range(8)]
# The number of labels of each arm of the study, and its share of correct test pairs.
NUM_LABELS = {
    "human": 8,
    "weak": 6,
    "flipped": 8,
    "human_2": 2,
    "human_4": 4,
    "other_dpo": 3,
    "longer": 8,
    "some_weak": 8,
}
ACCURACIES = {
    "human": 0.9,
    "weak": 0.7,
    "flipped": 0.5,
    "human_2": 0.6,
    "human_4": 0.8,
    "other_dpo": 0.7,
    "longer": 0.4,
}


class TrainedRun(Run):
    """A run of `STUDY` without a folder."""

    def __init__(self, text: str = STUDY) -> None:
        self.study = Study.parse(text)
        self.labeled = PAIRS[:5]
        self.prompt_ids = {}
        self.arms = [
            RunRow(name=name, labels=f"labels-{name}", training=f"dpo-{name}") for name in build_arms(self.study)
        ]

    def annotations(self, stage: str) -> Mapping[str, Annotation]:
        num_labels = NUM_LABELS.get(stage.removeprefix("labels-"), 0)
        return {
            pair.id: build_human_annotation(pair if index < num_labels else replace(pair, human=None))
            for index, pair in enumerate(PAIRS)
        }


def values_of(metric: str, shift: float = 0.0) -> dict[str, ArmValues]:
    """100 outcomes of each arm, of which its accuracy plus `shift` is correct."""
    return {
        arm: ArmValues(values={metric: {str(row): float(row < round(100 * (share + shift))) for row in range(100)}})
        for arm, share in ACCURACIES.items()
    }


def with_worths(*infos: LabelWorthInfo) -> Report:
    return replace(REPORT, label_worths=infos)


def test_an_interval_has_open_ends_where_the_curve_ends() -> None:
    assert str(format_label_worth(INSIDE)) == "1,873 [1,204, more than 3,870]"
    assert str(format_label_worth(INSIDE, minus=500)) == "1,373 [704, more than 3,370]"
    assert str(format_label_worth(INSIDE, minus=500, price=0.5)) == "687 [352, more than 1,685]"
    above = replace(INSIDE, position="above", value=None)
    assert str(format_label_worth(above)) == "more than 3,870 [1,204, more than 3,870]"
    below = replace(INSIDE, position="below", value=None, low=None, high=620.0)
    assert str(format_label_worth(below, minus=600)) == "none [none, 20]"
    assert str(format_label_worth(below, minus=620)) == "none"
    assert str(format_label_worth(above, minus=5_000)) == "unknown [none, unknown]"


def test_the_headline_states_the_worth_the_labels_saved_and_the_money() -> None:
    sentence = build_label_worth_sentence(with_worths(WEAK), "weak", "accuracy")
    assert sentence == (
        "Weak labels are worth 1,873 [1,204, more than 3,870] human labels by accuracy; the interval is over 512 pairs and one "
        "seed, without the variation between seeds. They depend on 500 human labels, so they save 1,373 [704, more than "
        "3,370]: 687 [352, more than 1,685] at 0.5 per label."
    )
    report = with_worths(replace(WEAK, metric="gold_reward", label_price=None, labels_used=0))
    assert any(
        each.endswith("They depend on no human labels, so they save 1,873 [1,204, more than 3,870].")
        for each in build_verdict(report)
    )
    assert build_label_worth_sentence(report, "weak", "accuracy") == ""


def test_no_worth_is_read_off_a_curve_that_does_not_rise() -> None:
    first, *_, last = WEAK.curve
    falling = replace(WEAK, curve=(replace(first, value=0.7), replace(last, value=0.6)))
    assert (WEAK.curve_rises, falling.curve_rises) == (True, False)
    assert build_label_worth_sentence(with_worths(falling), "weak", "accuracy") == (
        f"More human labels did not give a higher accuracy here (0.700 with {first.num_labels:,}, 0.600 with "
        f"{last.num_labels:,}), so what weak labels are worth in human labels cannot be read off."
    )
    (table,) = build_worth_tables([falling])
    assert "The curve does not rise" in table.legend


def test_a_worth_that_may_be_anything_is_reported_as_such() -> None:
    unknown = replace(WEAK, worth=replace(INSIDE, low=None))
    assert build_label_worth_sentence(with_worths(unknown), "weak", "accuracy") == (
        "In human labels, weak labels could be worth anything from less than 500 to more than 3,870 by accuracy: this test set "
        "cannot tell."
    )


def test_the_section_has_a_table_and_the_learning_curve() -> None:
    flipped = replace(WEAK, arm="flipped", labels_used=None)
    section = build_label_worth_section(PageContents(report=with_worths(WEAK, flipped)))
    assert section is not None
    assert [figure.name for figure in section.figures] == ["learning-curve-accuracy"]
    assert "weak" in section.figures[0].svg
    assert "3,870" in section.figures[0].svg
    (table,) = section.tables
    assert [row.name for row in table.rows] == ["weak", "flipped"]
    assert table.rows[0].cells[1:] == ("500 labels", "1,373 [704, more than 3,370]", "687 [352, more than 1,685]")
    assert table.rows[1].cells[1:] == ("labels of the pool", "", "")
    assert table.legend.startswith("The curve has 500 (human_500), 2,000 (human_2000), 3,870 (human) human labels.")
    assert build_label_worth_section(PageContents(report=REPORT)) is None
    assert draw_learning_curve([WEAK]) == draw_learning_curve([WEAK])
    render_terminal_table(table)


def test_worths_round_trip_through_json() -> None:
    report = with_worths(WEAK, replace(WEAK, arm="flipped", labels_used=None, label_price=None))
    document = json.loads(json.dumps(report_to_json(report), allow_nan=False))
    assert report_from_json(document) == report
    assert document["label_worths"][0]["worth"]["high"] is None


def test_the_curve_of_a_run_has_the_arms_that_are_trained_like_the_human_arm() -> None:
    infos = {info.arm: info for info in collect_label_worths([TrainedRun()], [values_of("accuracy")])}
    assert list(infos) == ["weak", "flipped", "other_dpo", "longer"]
    assert infos["weak"].curve == (
        CurvePoint(arm="human_2", num_labels=2, value=0.6),
        CurvePoint(arm="human_4", num_labels=4, value=0.8),
        CurvePoint(arm="human", num_labels=8, value=0.9),
    )
    worth = infos["weak"].worth
    assert worth.value == pytest.approx(2 * 2**0.5)
    assert (worth.n, worth.n_seeds, infos["weak"].value, infos["weak"].label_price) == (100, 1, 0.7, 2.0)
    assert infos["longer"].worth.position == "below"


def test_labels_depend_on_the_pairs_that_a_model_or_a_calibration_learns_from() -> None:
    values = values_of("accuracy")
    values |= {"length_calibrated": values["weak"], "some_weak": values["weak"]}
    infos = collect_label_worths([TrainedRun()], [values])
    assert {info.arm: info.labels_used for info in infos} == {
        "weak": 5,
        "flipped": None,
        "other_dpo": None,
        "longer": 0,
        "length_calibrated": 5,
    }


def test_seeds_are_pooled_and_rewards_have_their_own_curve() -> None:
    seeds = [
        {
            arm: ArmValues(values={**each.values, "gold_reward.short": each.values["accuracy"], "length": {"0": 1.0}})
            for arm, each in values_of("accuracy", shift).items()
        }
        for shift in (0.0, 0.02)
    ]
    infos = collect_label_worths([TrainedRun(), TrainedRun()], seeds)
    weak = [info for info in infos if info.arm == "weak"]
    assert [info.metric for info in weak] == ["accuracy", "gold_reward.short"]
    assert weak[0].worth.n_seeds == 2
    assert weak[0].value == pytest.approx(0.71)
    assert weak[0].worth.value == pytest.approx(2 * 2**0.5)


def test_there_is_no_worth_without_a_curve() -> None:
    only_human = {name: each for name, each in values_of("accuracy").items() if name in ("human", "weak")}
    assert collect_label_worths([TrainedRun()], [only_human]) == ()
    without_arms = TrainedRun(STUDY.partition("arms:")[0])
    assert collect_label_worths([without_arms], [only_human]) == ()
    assert collect_label_worths([TrainedRun(), without_arms], [values_of("accuracy")] * 2) == ()
    unrelated = {**values_of("accuracy"), "weak": ArmValues(values={"accuracy": {"other": 1.0}})}
    assert "weak" not in {info.arm for info in collect_label_worths([TrainedRun()], [unrelated])}


def test_a_comparison_of_seeds_shows_the_worth_over_all_of_them() -> None:
    run = ComparedRun(name="first", folder=Path("first"), report=REPORT)
    over_seeds = replace(WEAK, worth=replace(INSIDE, n_seeds=2))
    comparison = RunComparison(runs=(run,), metric_rows=(), notes=(), label_worths=(over_seeds,))
    legend = "human labels. Intervals are over test rows and 2 seeds."
    text = render_plain_text(render_run_comparison_tables(comparison))
    assert "1,873 [1,204, more than 3,870]" in text
    assert legend in " ".join(text.split())
    page = render_run_comparison_page(comparison)
    assert legend in page
    assert page.count("<svg") == 1
    assert run_comparison_to_json(comparison)["label_worths"][0]["worth"]["low"] == 1204.0


def test_random_subsets_with_the_seed_of_the_study_do_not_separate_the_runs() -> None:
    def study(seed: int, subset_seed: int) -> Study:
        return Study.parse(STUDY, [f"seed={seed}", f"arms.human_2.filter.seed={subset_seed}"])

    assert find_varied_seed([study(1, 1), study(2, 2)]) == "seed"
    assert find_varied_seed([study(1, 3), study(2, 4)]) is None
