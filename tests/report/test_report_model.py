import json
import subprocess
import sys
from dataclasses import replace

import pytest
from sample_report import REPORT

from trimtab.errors import DataError
from trimtab.report.collect.histogram import build_label_histogram
from trimtab.report.metric_registry import METRICS, get_metric_info
from trimtab.report.model import (
    ArmResult,
    Report,
    StudyInfo,
    classify_difference,
    report_from_json,
    report_to_json,
    sort_arm_names,
)
from trimtab.report.value_format import format_value
from trimtab.stats import proportion
from trimtab.types import Choice, Metric


def build_metric(value: float | None, low: float | None = None, high: float | None = None) -> Metric:
    return Metric(value=value, low=low, high=high, n=5)


def test_a_report_round_trips_through_json() -> None:
    assert report_from_json(json.loads(json.dumps(report_to_json(REPORT), allow_nan=False))) == REPORT


def test_an_empty_report_round_trips_through_json() -> None:
    empty = Report(study=StudyInfo(name="none", seed=0, weak="w", student="s"))
    assert report_from_json(json.loads(json.dumps(report_to_json(empty)))) == empty


def test_the_document_is_keyed_by_arm_and_metric() -> None:
    document = report_to_json(REPORT)
    assert set(document["arms"]["weak"]["gold_reward"]) == {"value", "low", "high", "n", "n_failed"}
    assert document["arms"]["weak"]["eos_rate"]["n_failed"] == 3
    assert document["arms"]["weak_filtered_by_uncertainty"] == {}
    assert document["arm_info"]["weak_filtered_by_uncertainty"]["skipped"].startswith("the filter left")
    assert document["labels"]["weak"]["agreement"]["n"] == 1590
    assert document["data"]["unlabeled"] == {"pairs": 1600, "prompts": 830, "failures": 4, "note": ""}
    assert document["comparisons"][0]["arm"] == "base"
    assert document["comparisons"][0]["difference"]["value"] == -0.118
    assert document["study"]["fingerprint"] == "3f9c21ab"


def test_the_cost_is_the_sum_over_the_stages() -> None:
    assert report_to_json(REPORT)["cost"] == {"seconds": pytest.approx(3928.2), "tokens": 10_710_000}


def test_nan_and_infinity_are_null() -> None:
    arm = ArmResult(
        name="weak", role="arm", metrics={"accuracy": build_metric(float("nan"), float("-inf"), float("inf"))}
    )
    document = report_to_json(replace(REPORT, arms=(arm,)))
    null = {"value": None, "low": None, "high": None, "n": 5, "n_failed": 0}
    assert document["arms"]["weak"]["accuracy"] == null
    json.dumps(document, allow_nan=False)


def test_a_document_with_a_missing_part_is_an_error_that_names_it() -> None:
    document = report_to_json(REPORT)
    del document["arm_info"]["weak"]
    with pytest.raises(DataError, match=r"report\.json: 'weak' is missing"):
        report_from_json(document)


def test_a_document_with_an_unknown_field_is_an_error_that_names_it() -> None:
    document = report_to_json(REPORT)
    document["stage_costs"][0]["color"] = "blue"
    with pytest.raises(DataError, match="color"):
        report_from_json(document)


def test_arms_are_sorted_in_table_order() -> None:
    given = ["seam", "weak_model", "flipped", "weak", "sft", "base", "random", "human"]
    assert sort_arm_names(given) == ["base", "sft", "human", "weak", "flipped", "seam", "random", "weak_model"]


@pytest.mark.parametrize(
    ("metric", "side"),
    [
        (build_metric(0.1, 0.01, 0.2), "above"),
        (build_metric(-0.1, -0.2, -0.01), "below"),
        (build_metric(0.1, -0.01, 0.2), "unclear"),
        (build_metric(0.1, 0.0, 0.2), "unclear"),
        (build_metric(-0.1, -0.2, 0.0), "unclear"),
        (build_metric(0.1), "unclear"),
    ],
)
def test_a_difference_has_a_direction_only_if_its_whole_interval_has(metric: Metric, side: str) -> None:
    assert classify_difference(metric) == side


@pytest.mark.parametrize(
    ("metric", "name", "text"),
    [
        (build_metric(0.612, 0.58, 0.641), "gold_reward", ("0.612", "[0.580, 0.641]")),
        (build_metric(-12.345, -14.2, -10.06), "gold_reward", ("−12.35", "[−14.20, −10.06]")),
        (build_metric(61.04, 57.2, 65.9), "length", ("61.0", "[57.2, 65.9]")),
        (build_metric(0.05, 0.0004, 0.1), "gold_reward", ("0.0500", "[0.0004, 0.1000]")),
        (build_metric(-0.0001), "accuracy", ("0.000", "")),
        (build_metric(0.0, 0.0, 0.0), "accuracy", ("0.000", "[0.000, 0.000]")),
        (build_metric(None), "accuracy", ("undefined", "")),
        (Metric(value=None, low=None, high=None, n=0, n_failed=3), "accuracy", ("–", "")),
    ],
)
def test_values_are_formatted_with_appropriate_decimals(metric: Metric, name: str, text: tuple[str, str]) -> None:
    assert format_value(metric, get_metric_info(name)) == text


def test_a_difference_is_formatted_with_its_sign() -> None:
    assert format_value(build_metric(0.08, 0.04, 0.12), get_metric_info("accuracy"), signed=True)[0] == "+0.080"
    assert format_value(build_metric(-0.08, -0.12, -0.04), get_metric_info("accuracy"), signed=True)[0] == "−0.080"


def test_a_metric_of_several_scorers_has_the_scorer_in_its_label() -> None:
    info = get_metric_info("gold_reward.short")
    assert (info.label, info.better, info.count_noun) == ("Gold reward (short)", "higher", "prompts")
    assert get_metric_info("novel").label == "novel"
    assert all(name == info.name for name, info in METRICS.items())


def test_a_histogram_counts_all_labels_and_uses_existing_human_labels() -> None:
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
    names = [
        "page.html",
        "terminal.tables",
        "page.figures",
        "text.verdict",
        "collect.histogram",
        "model",
        "pair_view.terminal",
        "pair_view.selection",
        "write_report",
    ]
    code = "import sys\n" + "".join(f"import trimtab.report.{name}\n" for name in names)
    code += "sys.exit(', '.join({'torch', 'matplotlib', 'transformers'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
