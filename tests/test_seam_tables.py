"""The script that prints SEAM's tables, its averages over datasets, and the paper's numbers."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from trimtab.report.write_report import write_report
from trimtab.stats import mean, performance_gap_recovered

FOLDER = Path(__file__).parents[1] / "studies" / "seam2025"
PUBLISHED: Mapping[str, Any] = yaml.safe_load((FOLDER / "published.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def averages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("averages")


def outcomes(dataset: str, right: int, n: int) -> dict[str, float]:
    return {f"{dataset}/{index}": float(index < right) for index in range(n)}


@pytest.mark.parametrize("table", ["table1", "table2", "table3"])
def test_the_printed_averages_are_those_of_the_printed_accuracies(table: str) -> None:
    for row in PUBLISHED[table].values():
        *accuracies, average = row["accuracy"]
        assert len(accuracies) == len(PUBLISHED["datasets"])
        assert average == pytest.approx(sum(accuracies) / 6, abs=0.1)


def test_the_printed_pgr_is_that_of_equation_4_for_each_dataset_and_for_the_average_accuracies() -> None:
    weak, ceiling = (PUBLISHED["table1"][arm]["accuracy"] for arm in ("weak_model", "human"))
    for row in PUBLISHED["table1"].values():
        for low, value, high, printed in zip(weak, row["accuracy"], ceiling, row["pgr"], strict=True):
            gap = abs(high - low)
            recovered = 100 * (value - low) / gap
            rounding = 100 * 0.1 / gap * (1 + abs(recovered) / 100) + 0.5  # numerator and gap are rounded to 0.05 each
            assert printed == pytest.approx(recovered, abs=rounding)


def test_datasets_count_equally_and_the_pgr_is_that_of_the_mean_accuracies(averages: ModuleType) -> None:
    # accuracies on a dataset of 100 rows and on one of 200: weak .5 and .6, student .6 and .6, ceiling .7 and .7
    weak, student, ceiling = (
        averages.average_over_datasets([outcomes("a", first, 100), outcomes("b", second, 200)])
        for first, second in ((50, 120), (60, 120), (70, 140))
    )
    assert mean(list(weak.values())).value == pytest.approx(0.55)
    # (.6 - .55) / (.7 - .55) = 1/3; the mean of the two PGRs would be (1/2 + 0) / 2
    assert performance_gap_recovered(weak, student, ceiling).value == pytest.approx(1 / 3)


def test_the_average_has_the_variance_of_two_independent_means(averages: ModuleType) -> None:
    values = averages.average_over_datasets([outcomes("a", 50, 100), outcomes("b", 100, 400)])
    # the average of .5 and .25 has the variance (.25 / 100 + .1875 / 400) / 4 = 0.000742, its square root is 0.0272
    metric = mean(list(values.values()))
    assert metric.value == pytest.approx(0.375)
    assert metric.low == pytest.approx(0.375 - 1.96 * 0.0272, abs=0.002)
    assert metric.high == pytest.approx(0.375 + 1.96 * 0.0272, abs=0.002)


def test_values_of_some_keys_have_the_same_mean_over_all_keys(averages: ModuleType) -> None:
    assert averages.spread_over_keys({"a": 1.0, "b": 0.0}, ["a", "b", "c", "d"]) == {
        "a": 1.5,
        "b": -0.5,
        "c": 0.5,
        "d": 0.5,
    }
    assert averages.spread_over_keys({"a": 1.0}, ["a"]) == {"a": 1.0}


def run_script(name: str, *arguments: str) -> str:
    command = [sys.executable, str(FOLDER / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_datasets_without_a_run_have_no_column_and_arms_without_results_are_shown_as_missing(
    finished_run: Path, tmp_path: Path
) -> None:
    for dataset in ("af", "sr"):
        (tmp_path / dataset).symlink_to(finished_run)
    text = run_script("tables.py", str(tmp_path))
    assert "Datasets without a run: HS, AM, CH, AHH." in text
    assert "| paper / run | AF | SR | Avg. of AF, SR |" in text
    rows = {line.split(" | ")[0]: line.strip("| ").split(" | ")[1:] for line in text.split("**")[2].splitlines()[1:]}
    assert [cell.partition(" / ")[0] for cell in rows["| Naive W2S"]] == ["66.6", "49.7", "58.1"]
    assert not any(cell.endswith("missing") for cell in rows["| Naive W2S"])
    assert all(cell.endswith(" / missing") for cell in rows["| SEAM"])
    # both runs are the same one, so the average is the value of each
    values = [rows["| Strong Ceiling"][index].partition(" / ")[2].split(" ")[0] for index in range(3)]
    assert len(set(values)) == 1


def test_the_details_of_a_run_have_its_labels(finished_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    write_report(folder)
    text = run_script("run_details.py", str(folder))
    coverage = json.loads((folder / "report.json").read_text(encoding="utf-8"))["labels"]["weak"]["coverage"]["value"]
    assert "| Naive W2S | " in text
    assert f"| {100 * coverage:.1f} [" in text


def test_the_details_of_a_run_without_a_report_are_an_error(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "run_details.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith(f"error: {tmp_path} has no report.json")) == (1, True)
