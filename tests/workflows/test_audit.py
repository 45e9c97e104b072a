"""Audits through the command line, on pairs whose correct labels are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.core.component import build_component_from_options
from trimtab.errors import DataError, StudyError
from trimtab.metrics.optimal_fraction import SelectedFraction
from trimtab.sources.starter import Starter
from trimtab.types import Annotation, Metric, Pair, build_user_prompt
from trimtab.workflows.audit.evaluation import LabelEvaluation
from trimtab.workflows.audit.next_step import build_next_step
from trimtab.workflows.audit.recommendation import build_recommendation
from trimtab.workflows.audit.request import AuditRequest

RunAudit = Callable[..., dict[str, Any]]
METRIC_KEYS = {"value", "low", "high", "n", "n_failed"}


def write_pairs(path: Path, family: str, count: int, *, labeled: bool = True) -> Path:
    pairs = Starter(families=(family,), noise=0.0).load().pairs[:count]
    rows = [
        {
            "prompt": pair.prompt[0].content,
            "response_a": pair.a,
            "response_b": pair.b,
            "label": pair.human if labeled else None,
        }
        for pair in pairs
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "labeled.jsonl", "privacy", 60)
    write_pairs(folder / "train.jsonl", "property", 48)
    write_pairs(folder / "pool.jsonl", "unkindness", 30, labeled=False)
    return folder


@pytest.fixture(scope="module")
def run_audit(files: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunAudit:
    import torch

    runs = tmp_path_factory.mktemp("runs")

    def run(*arguments: str, kind: str = "probe", sets: tuple[str, ...] = (f"model={tiny_model}",)) -> dict[str, Any]:
        torch.set_num_threads(1)
        options = [part for setting in sets for part in ("--set", setting)]
        output = runs / "audit.json"
        command = ["audit", str(files / "labeled.jsonl"), "--annotator", kind, *options]
        command += ["--json", str(output), "--out", str(runs)]
        done = CliRunner().invoke(app, [*command, *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert done.output.startswith(f"Auditing {kind}: ")
        result: dict[str, Any] = json.loads(output.read_text())
        assert " ".join(result["recommendation"].split()) in " ".join(done.output.split())
        return result

    return run


def test_a_probe_is_evaluated_by_cross_fitting(run_audit: RunAudit, files: Path) -> None:
    result = run_audit("--unlabeled", str(files / "pool.jsonl"))
    assert set(result["agreement"]) == METRIC_KEYS
    assert result["agreement"]["n"] == result["n_pairs"] == 60
    assert result["chance"]["value"] == 0.5
    assert result["length_baselines"]["longer"]["value"] + result["length_baselines"]["shorter"][
        "value"
    ] == pytest.approx(1)
    assert result["agreement"]["value"] > max(
        result["length_baselines"]["longer"]["value"], result["length_baselines"]["shorter"]["value"]
    )
    assert result["order_inconsistency"]["value"] == 0
    assert result["n_unlabeled"] == 30
    assert (
        result["unlabeled_accuracy"]["low"]
        < result["unlabeled_accuracy"]["value"]
        < result["unlabeled_accuracy"]["high"]
    )
    assert [point["num_labeled"] for point in result["learning_curve"]] == [24, 48]
    assert result["learning_curve"][-1]["agreement"] == result["agreement"]
    assert result["cost"]["tokens_per_1000"]["value"] > 1000
    assert result["recommendation"].startswith("Use it")
    # 60 labeled pairs suffice for a certificate of 70% (49 pairs), not for more (65 and above)
    assert [point["accuracy"] for point in result["certified_shares"]] == [0.7, 0.75, 0.8, 0.85, 0.9]
    assert [point["share"] for point in result["certified_shares"][1:]] == [0, 0, 0, 0]


def test_an_annotator_is_trained_on_one_file_and_evaluated_on_another(run_audit: RunAudit, files: Path) -> None:
    result = run_audit(
        "--train-on",
        str(files / "train.jsonl"),
        "--max-train-pairs",
        "44",
        "--limit",
        "50",
        "--unlabeled",
        str(files / "pool.jsonl"),
        "--max-unlabeled",
        "20",
    )
    assert (result["agreement"]["n"], result["n_unlabeled"]) == (50, 20)
    assert result["training_source"].endswith("train.jsonl")
    assert [point["num_labeled"] for point in result["learning_curve"]] == [22, 44]


def test_pairs_longer_than_max_length_are_excluded(files: Path, tmp_path: Path) -> None:
    labeled = tmp_path / "labeled.jsonl"
    long = {"prompt": "Count.", "response_a": "1" * 600, "response_b": "no", "label": "a"}
    labeled.write_text((files / "labeled.jsonl").read_text() + json.dumps(long) + "\n")
    counts = []
    for options in ((), ("--max-length", "900")):
        output = tmp_path / "audit.json"
        command = [
            "audit",
            str(labeled),
            "--annotator",
            "length",
            "--set",
            "prefer=shorter",
            "--json",
            str(output),
            "--out",
            str(tmp_path / "run"),
            *options,
        ]
        assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
        counts.append(json.loads(output.read_text())["n_pairs"])
    assert counts == [60, 61]


def test_a_length_baseline_needs_no_training_and_is_not_better_than_itself(run_audit: RunAudit) -> None:
    result = run_audit(kind="length", sets=("prefer=shorter",))
    assert result["agreement"]["value"] == result["length_baselines"]["shorter"]["value"]
    assert result["cost"]["training_seconds"]["value"] == 0
    assert result["recommendation"].startswith("Do not use it")
    assert result["learning_curve"] == []


def test_labels_of_equal_confidence_have_no_table_of_the_most_confident(files: Path, tmp_path: Path) -> None:
    command = ["audit", str(files / "labeled.jsonl"), "--annotator", "length", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "human agreement" in done.output
    assert [text for text in ("top-confidence", "most informative:") if text in done.output] == []
    assert done.output.splitlines()[-1].startswith("next: ")


def test_reward_computation_counts_per_label_and_training_does_not(
    run_audit: RunAudit, files: Path, tiny_model: Path, tmp_path: Path
) -> None:
    result = run_audit(
        "--train-on",
        str(files / "train.jsonl"),
        "--out",
        str(tmp_path),
        kind="reward_model",
        sets=(f"model={tiny_model}", "training.num_train_epochs=1"),
    )
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    [trained] = [record for record in records if record["stage"] == "reward_model"]
    [table] = [record for record in records if record["stage"] == "reward_table"]
    assert result["cost"]["training_seconds"]["value"] == pytest.approx(trained["seconds"])
    assert result["cost"]["seconds_per_1000"]["value"] >= 1000 * table["seconds"] / 60 > 0


def test_a_reference_model_is_prompted_on_some_of_the_pairs(run_audit: RunAudit, tiny_model: Path) -> None:
    result = run_audit("--reference-model", f"{tiny_model}[:1]", kind="length", sets=())
    assert result["reference_model"]["n"] + result["reference_model"]["n_failed"] == 60


def test_the_weak_model_of_a_study_is_trained_with_its_settings_and_audited(
    run_audit: RunAudit, files: Path, tiny_study: str, tmp_path: Path
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(tiny_study)
    result = run_audit("--train-on", str(files / "train.jsonl"), "--study", str(study), kind="implicit_reward", sets=())
    assert result["agreement"]["n"] + result["agreement"]["n_failed"] == 60
    assert result["cost"]["training_seconds"]["value"] > 0
    assert result["learning_curve"] == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--max-train-pairs", "9"), StudyError, "--max-train-pairs: requires --train-on"),
        (("--max-unlabeled", "9"), StudyError, "--max-unlabeled: requires --unlabeled"),
        (("--annotator", "vote", "--set", "arms=[one, other]"), StudyError, "reads the labels of other arms"),
        (
            ("--annotator", "noisy_human", "--set", "noise_rate=0.2", "--train-on", "FEW"),
            DataError,
            "19 labeled pairs, expected 20 or more",
        ),
        (
            ("--annotator", "length", "--set", "tie_threshold=100000"),
            DataError,
            r"0 of 60 labeled pairs got a probability.*abstains",
        ),
    ],
)
def test_invalid_audits_are_errors(
    files: Path, tmp_path: Path, arguments: tuple[str, ...], error: type[Exception], message: str
) -> None:
    few = write_pairs(tmp_path / "few.jsonl", "property", 19)
    options = [str(few) if argument == "FEW" else argument for argument in arguments]
    with pytest.raises(error, match=message):
        CliRunner().invoke(
            app, ["audit", str(files / "labeled.jsonl"), "--out", str(tmp_path), *options], catch_exceptions=False
        )


PAIRS = [
    Pair(
        id=f"{index}",
        prompt=build_user_prompt(f"Question {index}?"),
        a="x" * (index + 2),
        b="yy",
        human="a" if index % 3 else "b",
    )
    for index in range(30)
]
# Correct on 24 of 30 pairs, and confidently wrong on 6 of the 10 pairs with human label `b`.
LABELS = {
    pair.id: Annotation(pair_id=pair.id, p_a=0.9 if pair.human == "a" or int(pair.id) < 18 else 0.2) for pair in PAIRS
}


def test_agreement_matches_a_count_by_hand() -> None:
    evaluation = LabelEvaluation(pairs=PAIRS, labels=LABELS)
    assert evaluation.compute_agreement().value == 24 / 30
    by_length = evaluation.agreement_by_length()
    assert by_length["human_prefers_longer"].value == 1
    # the responses of pair 0 have equal length, so in nine pairs the human label prefers the shorter one
    assert (by_length["human_prefers_shorter"].value, by_length["human_prefers_shorter"].n) == (4 / 9, 9)
    baselines = evaluation.length_baselines()
    # the longer response is correct in 20 pairs, wrong in 9 and a tie in 1; the annotator is correct in 24
    assert evaluation.improvement_over(baselines["longer"]).value == pytest.approx((24 - 20.5) / 30)


def test_certified_shares_are_those_of_the_filter() -> None:
    # 150 labels at 0.9 are correct, 150 at 0.6 are at chance
    pairs = [
        Pair.from_responses(build_user_prompt(f"Question {n}?"), "yes", "no", preferred="first") for n in range(300)
    ]
    labels = {
        pair.id: Annotation(pair_id=pair.id, p_a=p if (pair.human == "a") == (n < 150 or n % 2 == 0) else 1 - p)
        for n, pair in enumerate(pairs)
        for p in [0.9 if n < 150 else 0.6]
    }
    shares = LabelEvaluation(pairs=pairs, labels=labels).certified_shares({})
    # all labels together: 225 of 300, with a lower bound of 0.706; the confident half: 150 of 150, with one of 0.980
    assert shares == {0.7: 1.0, 0.75: 0.5, 0.8: 0.5, 0.85: 0.5, 0.9: 0.5}


def metric(value: float, low: float, high: float, n: int = 500) -> Metric:
    return Metric(value=value, low=low, high=high, n=n, n_failed=0)


ALL = SelectedFraction(fraction=1.0, accuracy=metric(0.7, 0.66, 0.74), information=0.16, information_lower=0.1)
HALF = replace(ALL, fraction=0.5, accuracy=metric(0.85, 0.8, 0.9))


@pytest.mark.parametrize(
    ("agreement", "improvement", "selection", "start"),
    [
        (
            metric(0.7, 0.66, 0.74),
            metric(0.1, 0.05, 0.15),
            ALL,
            "Use it: probe agrees with human labels on 70.0% [66.0%, 74.0%]",
        ),
        (metric(0.7, 0.66, 0.74), metric(0.1, 0.05, 0.15), HALF, "Use it on part: "),
        (metric(0.7, 0.66, 0.74), metric(0.01, -0.02, 0.04), HALF, "Do not use it yet: "),
        (metric(0.6, 0.55, 0.65), metric(-0.1, -0.15, -0.05), ALL, "Do not use it: "),
        (metric(0.52, 0.48, 0.56), metric(0.1, 0.05, 0.15), ALL, "Do not use it: "),
        (metric(0.3, 0.26, 0.34), metric(-0.2, -0.3, -0.1), ALL, "Do not use it: "),
        (Metric(value=None, low=None, high=None, n=0, n_failed=9), metric(0, 0, 0), ALL, "Do not use it: "),
    ],
)
def test_the_recommendation_follows_from_the_intervals(
    agreement: Metric, improvement: Metric, selection: SelectedFraction, start: str
) -> None:
    recommendation = build_recommendation("probe", agreement, "longer", improvement, selection)
    assert recommendation.startswith(start)
    assert recommendation.count(".\n") == 0 and recommendation.endswith(".")


@pytest.mark.parametrize(
    ("kind", "improvement", "selection", "expected"),
    [
        ("probe", metric(0.1, 0.05, 0.15), ALL, "trimtab annotate POOL --annotator probe --train-on 'my pairs.csv'"),
        (
            "probe",
            metric(0.1, 0.05, 0.15),
            HALF,
            "trimtab annotate POOL --annotator probe --train-on 'my pairs.csv' --filter '{kind: uncertainty, fraction: 0.50}'",
        ),
        (
            "implicit_reward",
            metric(0.1, 0.05, 0.15),
            HALF,
            "trimtab new study.yaml 'my pairs.csv', and make it an arm of the study.",
        ),
        (
            "probe",
            metric(0.01, -0.02, 0.04),
            HALF,
            "audit another annotator (`trimtab list annotators`), or label more pairs.",
        ),
    ],
)
def test_the_next_step_follows_from_the_recommendation(
    kind: str, improvement: Metric, selection: SelectedFraction, expected: str
) -> None:
    request = AuditRequest(
        labeled=Path("my pairs.csv"), kind=kind, annotator=build_component_from_options("annotators", kind, ())
    )
    agreement = metric(0.7, 0.66, 0.74)
    assert build_next_step(request, agreement, "longer", improvement, selection) == f"next: {expected}"


def test_an_insignificant_improvement_comes_with_the_required_number_of_pairs() -> None:
    # standard error 0.0153 at 500 pairs; (2.8016 · 0.0153 / 0.01)² · 500 = 9,192, rounded to two digits
    improvement = metric(0.01, -0.02, 0.04)
    recommendation = build_recommendation("probe", metric(0.7, 0.66, 0.74), "longer", improvement, ALL)
    assert recommendation.endswith("is not significant; about 9,200 labeled pairs would be needed to detect it.")
