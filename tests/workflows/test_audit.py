"""What an audit says of an annotator, on pairs whose truth is known, through the command as a person runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.errors import DataError, StudyError
from trimtab.metrics.optimal_fraction import SelectedFraction
from trimtab.sources.starter import Starter
from trimtab.types import Annotation, Metric, Pair, build_user_prompt
from trimtab.workflows.audit.evaluation import LabelEvaluation
from trimtab.workflows.audit.recommendation import build_recommendation

Audited = Callable[..., dict[str, Any]]
FIGURE = {"value", "low", "high", "n", "n_failed"}


def written(path: Path, family: str, count: int, *, labeled: bool = True) -> Path:
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
    written(folder / "labeled.jsonl", "privacy", 60)
    written(folder / "fit.jsonl", "property", 48)
    written(folder / "pool.jsonl", "unkindness", 30, labeled=False)
    return folder


@pytest.fixture(scope="module")
def audited(files: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    import torch

    runs = tmp_path_factory.mktemp("runs")

    def run(*arguments: str, kind: str = "probe", sets: tuple[str, ...] = (f"model={tiny_model}",)) -> dict[str, Any]:
        torch.set_num_threads(1)
        told = [part for each in sets for part in ("--set", each)]
        to = runs / "audit.json"
        command = ["audit", str(files / "labeled.jsonl"), "--with", kind, *told, "--json", str(to), "--out", str(runs)]
        done = CliRunner().invoke(app, [*command, *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(to.read_text())
        assert " ".join(found["verdict"].split()) in " ".join(done.output.split())
        return found

    return run


def test_a_probe_is_measured_on_pairs_that_it_did_not_learn_from(audited: Audited, files: Path) -> None:
    found = audited("--unlabeled", str(files / "pool.jsonl"))
    assert set(found["agreement"]) == FIGURE
    assert found["agreement"]["n"] == found["n_pairs"] == 60
    assert found["chance"]["value"] == 0.5
    assert found["longest"]["value"] + found["shortest"]["value"] == pytest.approx(1)
    assert found["agreement"]["value"] > max(found["longest"]["value"], found["shortest"]["value"])
    assert found["order_flips"]["value"] == 0
    assert found["n_pool"] == 30
    assert found["pool"]["low"] < found["pool"]["value"] < found["pool"]["high"]
    assert [each["labeled"] for each in found["curve"]] == [24, 48]
    assert found["curve"][-1]["agreement"] == found["agreement"]
    assert found["cost"]["tokens_per_1000"]["value"] > 1000
    assert found["verdict"].startswith("Use it")


def test_with_a_file_to_learn_from_the_other_is_measured(audited: Audited, files: Path) -> None:
    found = audited(
        "--fit",
        str(files / "fit.jsonl"),
        "--fit-limit",
        "44",
        "--limit",
        "50",
        "--unlabeled",
        str(files / "pool.jsonl"),
    )
    assert (found["agreement"]["n"], found["n_pool"]) == (50, 30)
    assert found["learned_from"].endswith("fit.jsonl")
    assert [each["labeled"] for each in found["curve"]] == [22, 44]


def test_pairs_of_more_tokens_than_are_asked_for_are_not_measured(files: Path, tmp_path: Path) -> None:
    labeled = tmp_path / "labeled.jsonl"
    long = {"prompt": "Count.", "response_a": "1" * 600, "response_b": "no", "label": "a"}
    labeled.write_text((files / "labeled.jsonl").read_text() + json.dumps(long) + "\n")
    found = []
    for more in ((), ("--max-tokens", "900")):
        to = tmp_path / "audit.json"
        command = [
            "audit",
            str(labeled),
            "--with",
            "shortest",
            "--json",
            str(to),
            "--out",
            str(tmp_path / "run"),
            *more,
        ]
        assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
        found.append(json.loads(to.read_text())["n_pairs"])
    assert found == [60, 61]


def test_a_rule_needs_no_training_and_is_not_better_than_itself(audited: Audited) -> None:
    found = audited(kind="shortest", sets=())
    assert found["agreement"]["value"] == found["shortest"]["value"]
    assert found["cost"]["training_seconds"]["value"] == 0
    assert found["verdict"].startswith("Do not use it")
    assert found["curve"] == []


def test_reading_the_pairs_is_the_price_of_a_label_and_training_is_not(
    audited: Audited, files: Path, tiny_model: Path, tmp_path: Path
) -> None:
    found = audited(
        "--fit",
        str(files / "fit.jsonl"),
        "--out",
        str(tmp_path),
        kind="reward_model",
        sets=(f"model={tiny_model}", "recipe.epochs=1"),
    )
    records = [json.loads(each.read_text()) for each in tmp_path.rglob("record.json")]
    [trained] = [each for each in records if each["stage"] == "reward"]
    [read] = [each for each in records if each["stage"] == "read_rewards"]
    assert found["cost"]["training_seconds"]["value"] == pytest.approx(trained["seconds"])
    assert found["cost"]["seconds_per_1000"]["value"] >= 1000 * read["seconds"] / 60 > 0


def test_a_strong_model_is_asked_about_some_of_the_pairs(audited: Audited, tiny_model: Path) -> None:
    found = audited("--strong", str(tiny_model), kind="longest", sets=())
    assert found["strong"]["n"] + found["strong"]["n_failed"] == 60


def test_the_weak_model_of_a_study_is_trained_as_the_study_says_and_audited(
    audited: Audited, files: Path, tiny_study: str, tmp_path: Path
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(tiny_study)
    found = audited("--fit", str(files / "fit.jsonl"), "--study", str(study), kind="implicit_reward", sets=())
    assert found["agreement"]["n"] + found["agreement"]["n_failed"] == 60
    assert found["cost"]["training_seconds"]["value"] > 0
    assert found["curve"] == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--fit-limit", "9"), StudyError, "--fit-limit: .* there is no --fit"),
        (("--with", "vote", "--set", "of=[one, other]"), StudyError, "reads the labels of other arms"),
        (("--with", "flip", "--set", "rate=0.2", "--fit", "FEW"), DataError, "19 labeled pairs, expected 20 or more"),
        (("--with", "longest", "--set", "gap=100000"), DataError, r"0 of 60 labeled pairs got a probability.*abstains"),
    ],
)
def test_what_cannot_be_audited_is_refused(
    files: Path, tmp_path: Path, arguments: tuple[str, ...], error: type[Exception], message: str
) -> None:
    few = written(tmp_path / "few.jsonl", "property", 19)
    told = [str(few) if each == "FEW" else each for each in arguments]
    with pytest.raises(error, match=message):
        CliRunner().invoke(
            app, ["audit", str(files / "labeled.jsonl"), "--out", str(tmp_path), *told], catch_exceptions=False
        )


PAIRS = [
    Pair(
        id=f"{place}",
        prompt=build_user_prompt(f"Question {place}?"),
        a="x" * (place + 2),
        b="yy",
        human="a" if place % 3 else "b",
    )
    for place in range(30)
]
# Right in 24 of 30, surely wrong in 6 of the 10 where people prefer `b`.
LABELS = {
    pair.id: Annotation(pair_id=pair.id, p_a=0.9 if pair.human == "a" or int(pair.id) < 18 else 0.2) for pair in PAIRS
}


def test_agreement_is_counted_by_hand() -> None:
    measured = LabelEvaluation(pairs=PAIRS, labels=LABELS)
    assert measured.compute_agreement().value == 24 / 30
    by_length = measured.agreement_by_length()
    assert by_length["human_prefers_longer"].value == 1
    # pair 0 has two responses of one length, so nine pairs are left in which people prefer the shorter one
    assert (by_length["human_prefers_shorter"].value, by_length["human_prefers_shorter"].n) == (4 / 9, 9)
    rules = measured.length_baselines()
    # longest: right in 20 pairs, wrong in 9, a tie in 1; the annotator has 24
    assert measured.improvement_over(rules["longer"]).value == pytest.approx((24 - 20.5) / 30)


def figure(value: float, low: float, high: float, n: int = 500) -> Metric:
    return Metric(value=value, low=low, high=high, n=n, n_failed=0)


ALL = SelectedFraction(fraction=1.0, accuracy=figure(0.7, 0.66, 0.74), information=0.16, information_lower=0.1)
HALF = replace(ALL, fraction=0.5, accuracy=figure(0.85, 0.8, 0.9))


@pytest.mark.parametrize(
    ("agreement", "lead", "kept", "begins"),
    [
        (
            figure(0.7, 0.66, 0.74),
            figure(0.1, 0.05, 0.15),
            ALL,
            "Use it: probe agrees with people on 70.0% [66.0%, 74.0%]",
        ),
        (figure(0.7, 0.66, 0.74), figure(0.1, 0.05, 0.15), HALF, "Use it on part: "),
        (figure(0.7, 0.66, 0.74), figure(0.01, -0.02, 0.04), HALF, "Do not use it yet: "),
        (figure(0.6, 0.55, 0.65), figure(-0.1, -0.15, -0.05), ALL, "Do not use it: "),
        (figure(0.52, 0.48, 0.56), figure(0.1, 0.05, 0.15), ALL, "Do not use it: "),
        (figure(0.3, 0.26, 0.34), figure(-0.2, -0.3, -0.1), ALL, "Do not use it: "),
        (Metric(value=None, low=None, high=None, n=0, n_failed=9), figure(0, 0, 0), ALL, "Do not use it: "),
    ],
)
def test_the_verdict_follows_the_intervals(
    agreement: Metric, lead: Metric, kept: SelectedFraction, begins: str
) -> None:
    told = build_recommendation("probe", agreement, "longest", lead, kept)
    assert told.startswith(begins)
    assert told.count(".\n") == 0 and told.endswith(".")


def test_a_lead_that_could_be_chance_comes_with_how_many_pairs_would_tell() -> None:
    # error 0.0153 at 500 pairs; (2.8016 · 0.0153 / 0.01)² · 500 = 9,192, told in two digits
    told = build_recommendation("probe", figure(0.7, 0.66, 0.74), "longest", figure(0.01, -0.02, 0.04), ALL)
    assert told.endswith("could be chance; about 9,200 labeled pairs would tell.")
