"""With `sft_data: arm_chosen` (Tao & Li), each arm has an SFT of its own, a row for it, and every comparison is to that row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.errors import StudyError
from trimtab.pipeline.plan import build_plan
from trimtab.report.collect.report import collect_report
from trimtab.report.model import Report
from trimtab.report.page.sections.headline import draw_metric_figures
from trimtab.report.page.sections.results import build_results_tables
from trimtab.report.page.sections.side_effects import build_side_effect_tables
from trimtab.report.run_comparison.collect import compare_runs
from trimtab.report.run_comparison.tables import build_seed_table
from trimtab.report.run_reader import Run
from trimtab.report.text.verdict import build_question, build_verdict

CHANGES = (
    "training.sft_data=arm_chosen",
    "arms.other_beta={annotator: implicit_reward, dpo: {beta: 0.7, batch_size: 6, lora_r: 2, learning_rate: 1.0e-3}}",
)
STARTS = {"human": "sft.human", "weak": "sft.weak", "flipped": "sft.flipped", "other_beta": "sft.weak"}
SFT_ROWS = ["sft.human", "sft.weak", "sft.flipped"]


@pytest.fixture(scope="module")
def folder(tiny_study: str, finished_run: Path, run_whole: Callable[..., tuple[Study, Path]]) -> Path:
    return run_whole(Study.parse(tiny_study, CHANGES).to_yaml(), finished_run)[1]


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return collect_report(folder)


def test_arms_whose_labels_prefer_the_same_responses_share_a_row(report: Report) -> None:
    assert [arm.name for arm in report.arms] == ["base", *SFT_ROWS, *STARTS, "weak_model"]
    assert {arm.name: arm.start for arm in report.arms if arm.start} == STARTS
    assert {arm.name for arm in report.arms if arm.role == "reference"} == {"base", *SFT_ROWS, "weak_model"}


def test_an_arms_row_is_the_model_that_its_dpo_started_from(folder: Path) -> None:
    rows = {row.name: row for row in Run(folder).arms}
    for arm, start in STARTS.items():
        training = Run(folder).artifact(rows[arm].training or "")
        assert rows[start].training is not None
        assert rows[start].training.endswith(training.record["inputs"]["model"])  # type: ignore[union-attr]


def test_every_arm_is_compared_with_its_own_start_and_each_start_with_the_base_model(report: Report) -> None:
    to_sft = {(each.arm, each.baseline) for each in report.comparisons if each.baseline.startswith("sft")}
    assert to_sft == set(STARTS.items())
    assert {each.arm for each in report.comparisons if each.baseline == "base"} >= set(SFT_ROWS)
    weak, start = ({arm.name: arm for arm in report.arms}[name].metrics for name in ("weak", "sft.weak"))
    difference = report.get_baseline_difference("weak", "gold_reward")
    assert difference is not None and difference.value is not None
    means = [metrics["gold_reward"].value or 0.0 for metrics in (weak, start)]
    assert difference.value == pytest.approx(means[0] - means[1])


def test_tables_figures_and_the_headline_name_the_own_start(report: Report) -> None:
    for tables in (build_results_tables(report), build_side_effect_tables(report)):
        titles = [column.title for column in tables[0].columns if column.title.startswith("minus")]
        assert titles and set(titles) == {"minus its own SFT, paired"}
    cells = {row.name: row.cells for row in build_results_tables(report)[0].rows}
    assert all(cells[arm][1] is not None for arm in STARTS)
    assert all(cells[row][1] is None for row in SFT_ROWS)
    assert draw_metric_figures(report, "gold_reward")[1].title.endswith("paired difference to its own SFT")
    assert build_question(report) == "Is the student better after weak labels than after SFT alone on weak labels?"
    assert "SFT alone on weak labels" in build_verdict(report)[0]
    assert "SFT alone on the same labels" in " ".join(build_verdict(report))


def test_differences_over_seeds_are_to_the_own_start(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    index = Run(other).index
    study = Run(other).study.model_copy(update={"seed": 23})
    (other / "study.yaml").write_text(study.to_yaml())
    index.model_copy(update={"study_sha256": ""}).save(other)
    table = build_seed_table(compare_runs([folder, other]), "gold_reward")
    titles = [column.title for column in table.columns]
    assert [title for title in titles if "SFT" in title] == ["minus its own SFT"]
    column = titles.index("minus its own SFT")
    assert {row.name for row in table.rows if row.cells[column] is not None} == set(STARTS)


def test_a_shared_sft_is_one_row_that_every_arm_starts_from(tiny_study: str) -> None:
    def starts(*changes: str) -> dict[str, str]:
        return {row.name: row.start for row in build_plan(Study.parse(tiny_study, changes)).rows}

    arms = ("human", "weak", "flipped")
    assert starts() == {"base": "", "sft": "", **dict.fromkeys(arms, "sft"), "weak_model": ""}
    assert starts("training.sft=null") == {"base": "", **dict.fromkeys(arms, "base"), "weak_model": ""}


def test_a_study_without_the_shared_row_cannot_compare_with_it(tiny_study: str) -> None:
    with pytest.raises(
        StudyError, match=r"arms\.x\.compare_with: unknown row 'sft' \(expected one of: base, weak_model"
    ):
        Study.parse(tiny_study, ["training.sft_data=arm_chosen", "arms.x={annotator: length, compare_with: [sft]}"])
