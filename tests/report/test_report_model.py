import json
import subprocess
import sys
from dataclasses import replace

import pytest
from made_up import REPORT

from trimtab.errors import DataError
from trimtab.report.collect.histogram import build_label_histogram
from trimtab.report.metric_registry import METRICS, format_value, get_metric_info
from trimtab.report.model import (
    Arm,
    Report,
    StudyInfo,
    classify_difference,
    report_from_json,
    report_to_json,
    sort_arm_names,
)
from trimtab.stats import proportion
from trimtab.types import Choice, Metric


def figure(value: float | None, low: float | None = None, high: float | None = None) -> Metric:
    return Metric(value=value, low=low, high=high, n=5)


def test_a_report_survives_json_and_back() -> None:
    assert report_from_json(json.loads(json.dumps(report_to_json(REPORT), allow_nan=False))) == REPORT


def test_an_empty_report_survives_json_and_back() -> None:
    empty = Report(study=StudyInfo(name="none", seed=0, weak="w", student="s"))
    assert report_from_json(json.loads(json.dumps(report_to_json(empty)))) == empty


def test_programs_find_a_figure_by_arm_and_metric() -> None:
    document = report_to_json(REPORT)
    assert set(document["arms"]["weak"]["gold_reward"]) == {"value", "low", "high", "n", "n_failed"}
    assert document["arms"]["weak"]["eos_rate"]["n_failed"] == 3
    assert document["arms"]["weak_filtered_by_uncertainty"] == {}
    assert document["arm_info"]["weak_filtered_by_uncertainty"]["skipped"].startswith("the filter left")
    assert document["labels"]["weak"]["agreement"]["n"] == 1590
    assert document["data"]["unlabeled"] == {"pairs": 1600, "prompts": 830, "failures": 4, "note": ""}
    assert document["comparisons"][0]["arm"] == "base"
    assert document["comparisons"][0]["value"] == -0.118
    assert document["study"]["fingerprint"] == "3f9c21ab"


def test_the_cost_is_the_sum_over_the_stages() -> None:
    assert report_to_json(REPORT)["cost"] == {"seconds": pytest.approx(3928.2), "tokens": 10_710_000}


def test_what_is_not_a_number_is_null_with_its_n() -> None:
    arm = Arm(name="weak", role="arm", metrics={"accuracy": figure(float("nan"), float("-inf"), float("inf"))})
    document = report_to_json(replace(REPORT, arms=(arm,)))
    null = {"value": None, "low": None, "high": None, "n": 5, "n_failed": 0}
    assert document["arms"]["weak"]["accuracy"] == null
    json.dumps(document, allow_nan=False)


def test_a_document_with_a_part_missing_is_refused_by_its_name() -> None:
    document = report_to_json(REPORT)
    del document["arm_info"]["weak"]
    with pytest.raises(DataError, match="there is no 'weak' where one belongs"):
        report_from_json(document)


def test_a_document_with_a_field_too_many_is_refused_by_its_name() -> None:
    document = report_to_json(REPORT)
    document["stages"][0]["color"] = "blue"
    with pytest.raises(DataError, match="color"):
        report_from_json(document)


def test_arms_stand_in_the_order_of_every_table() -> None:
    given = ["seam", "weak_model", "flipped", "weak", "sft", "base", "coin", "human"]
    assert sort_arm_names(given) == ["base", "sft", "human", "weak", "flipped", "seam", "coin", "weak_model"]


@pytest.mark.parametrize(
    ("metric", "side"),
    [
        (figure(0.1, 0.01, 0.2), "above"),
        (figure(-0.1, -0.2, -0.01), "below"),
        (figure(0.1, -0.01, 0.2), "unclear"),
        (figure(0.1, 0.0, 0.2), "unclear"),
        (figure(-0.1, -0.2, 0.0), "unclear"),
        (figure(0.1), "unclear"),
    ],
)
def test_a_difference_has_a_side_only_where_its_whole_interval_has(metric: Metric, side: str) -> None:
    assert classify_difference(metric) == side


@pytest.mark.parametrize(
    ("metric", "name", "text"),
    [
        (figure(0.612, 0.58, 0.641), "gold_reward", ("0.612", "[0.580, 0.641]")),
        (figure(-12.345, -14.2, -10.06), "gold_reward", ("−12.35", "[−14.20, −10.06]")),
        (figure(61.04, 57.2, 65.9), "length", ("61.0", "[57.2, 65.9]")),
        (figure(0.05, 0.0004, 0.1), "gold_reward", ("0.0500", "[0.0004, 0.1000]")),
        (figure(-0.0001), "accuracy", ("0.000", "")),
        (figure(0.0, 0.0, 0.0), "accuracy", ("0.000", "[0.000, 0.000]")),
        (figure(None), "accuracy", ("undefined", "")),
        (Metric(value=None, low=None, high=None, n=0, n_failed=3), "accuracy", ("–", "")),
    ],
)
def test_figures_are_written_with_the_decimals_they_deserve(metric: Metric, name: str, text: tuple[str, str]) -> None:
    assert format_value(metric, get_metric_info(name)) == text


def test_a_difference_is_written_with_its_sign() -> None:
    assert format_value(figure(0.08, 0.04, 0.12), get_metric_info("accuracy"), signed=True)[0] == "+0.080"
    assert format_value(figure(-0.08, -0.12, -0.04), get_metric_info("accuracy"), signed=True)[0] == "−0.080"


def test_a_metric_of_several_scorers_is_named_after_its_scorer() -> None:
    info = get_metric_info("gold_reward.short")
    assert (info.label, info.better, info.count_noun) == ("Gold reward (short)", "higher", "prompts")
    assert get_metric_info("novel").label == "novel"
    assert all(name == info.name for name, info in METRICS.items())


def test_a_histogram_counts_every_label_and_asks_humans_where_they_spoke() -> None:
    p_a: dict[str, float | None] = {"1": 0.1, "2": 0.2, "3": 0.9, "4": 1.0, "5": None, "6": 0.5}
    human: dict[str, Choice | None] = {"1": "b", "2": "a", "3": "a", "5": "a", "6": None}
    low, high = build_label_histogram(p_a, human, bins=2)
    assert (low.low, low.high, low.n, low.human_a_rate) == (0.0, 0.5, 2, proportion(1, 2))
    assert low.mean_p_a == pytest.approx(0.15)
    assert (high.low, high.high, high.n, high.human_a_rate) == (0.5, 1.0, 3, proportion(1, 1))


def test_an_empty_bin_has_no_mean() -> None:
    only = build_label_histogram({}, {}, bins=1)[0]
    assert (only.n, only.mean_p_a, only.human_a_rate.value) == (0, None, None)


def test_the_report_loads_neither_torch_nor_matplotlib() -> None:
    names = ["html", "tables", "figures", "verdict", "histogram", "model", "show", "worth", "remake"]
    code = "import sys\n" + "".join(f"import trimtab.report.{name}\n" for name in names)
    code += "sys.exit(', '.join({'torch', 'matplotlib', 'transformers'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
