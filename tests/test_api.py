"""The Python API: each workflow takes a few lines and no callbacks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trimtab
from trimtab.annotators.length import Length
from trimtab.types import build_user_prompt

ROWS = [
    {"prompt": "Say one.", "chosen": "one, gladly", "rejected": "no"},
    {"prompt": "Say two.", "chosen": "two", "rejected": "no, never at all"},
]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, {"prompt": "Say three."}]))
    return path


def test_pairs_are_loaded_with_the_settings_of_the_file_source(pairs: Path) -> None:
    dataset = trimtab.load_pairs(pairs)
    assert (len(dataset.pairs), len(dataset.failures)) == (2, 1)
    assert [(origin.file, origin.row, origin.columns) for origin in dataset.origins] == [
        (str(pairs), row, ("chosen", "rejected")) for row in (1, 2)
    ]
    for origin, pair, row in zip(dataset.origins, dataset.pairs, ROWS, strict=True):
        assert (origin.pair_id, pair.response(origin.first)) == (pair.id, row["chosen"])
    assert len(trimtab.load_pairs(str(pairs), limit=1).pairs) == 1
    with pytest.raises(trimtab.StudyError, match="limt: unknown setting; did you mean 'limit'"):
        trimtab.load_pairs(pairs, limt=1)


def test_pairs_are_labeled_in_order_by_a_kind_a_mapping_or_a_component(pairs: Path) -> None:
    dataset = trimtab.load_pairs(pairs)
    expected = Length(prefer="shorter").annotate(dataset.pairs, None)  # type: ignore[arg-type]
    assert trimtab.annotate(dataset.pairs, "length", {"prefer": "shorter"}, device="cpu") == expected
    assert trimtab.annotate(dataset.pairs, {"kind": "length", "prefer": "shorter"}, device="cpu") == expected
    assert trimtab.annotate(reversed(dataset.pairs), Length(prefer="shorter"), device="cpu") == expected[::-1]
    with pytest.raises(trimtab.StudyError, match="settings: "):
        trimtab.annotate(dataset.pairs, Length(), {"prefer": "shorter"}, device="cpu")


def test_a_pair_given_twice_gets_its_label_twice(pairs: Path) -> None:
    first, second = trimtab.load_pairs(pairs).pairs
    labels = trimtab.annotate([first, second, first], "human", device="cpu")
    assert [label.pair_id for label in labels] == [first.id, second.id, first.id]


def test_a_filter_marks_the_labels_that_it_drops(pairs: Path) -> None:
    dataset = trimtab.load_pairs(pairs)
    keep_half = {"kind": "margin", "by": "margin", "from_quantile": 0.5}
    labels = trimtab.annotate(dataset.pairs, "length", filter_by=keep_half, device="cpu")
    assert sorted(label.status for label in labels) == ["abstained", "ok"]
    with pytest.raises(trimtab.StudyError, match="filter_by: uncertainty needs probabilities other than 0 and 1"):
        trimtab.annotate(dataset.pairs, "length", filter_by="uncertainty", device="cpu")
    message = "filter optimal_fraction: needs labeled pairs; give a file of them with --train-on"
    with pytest.raises(trimtab.StudyError, match=message):
        trimtab.annotate(dataset.pairs, "length", filter_by="optimal_fraction", device="cpu")


def test_an_annotator_that_learns_is_trained_on_pairs_in_memory(tiny_model: Path, pairs: Path) -> None:
    responses = [("gladly" * (n % 3 + 1), f"no, {n}") for n in range(24)]
    labeled = [
        trimtab.Pair.from_responses(build_user_prompt(f"Ask {n}."), chosen, rejected, "first")
        for n, (chosen, rejected) in enumerate(responses)
    ]
    dataset = trimtab.load_pairs(pairs)
    labels = trimtab.annotate(dataset.pairs, "probe", {"model": str(tiny_model)}, train_on=labeled, device="cpu")
    assert [label.pair_id for label in labels] == [pair.id for pair in dataset.pairs]
    assert all(label.p_a is not None and 0 < label.p_a < 1 for label in labels)
    with pytest.raises(trimtab.StudyError, match="annotator probe: learns from labeled pairs"):
        trimtab.annotate(dataset.pairs, "probe", {"model": str(tiny_model)}, device="cpu")


def test_the_models_of_a_run_label_pairs(finished_run: Path, pairs: Path) -> None:
    dataset = trimtab.load_pairs(pairs)
    labels = trimtab.annotate(dataset.pairs, "implicit_reward", models_from=finished_run, device="cpu")
    assert all(label.status == "ok" and label.margin is not None for label in labels)


def test_an_audit_is_a_value_that_prints_as_the_terminal_tables(tmp_path: Path) -> None:
    path = tmp_path / "labeled.jsonl"
    rows = [{"prompt": f"Ask {n}.", "chosen": "yes" * (n % 4 + 1), "rejected": "no" * (n % 3 + 1)} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    quality = trimtab.audit(path, "length", {"prefer": "shorter"}, device="cpu")
    assert isinstance(quality, trimtab.Audit)
    assert quality.agreement.value == quality.length_baselines["shorter"].value
    text = str(quality)
    assert "human agreement" in text and " ".join(quality.recommendation.split()) in " ".join(text.split())


def test_a_study_is_planned_and_run_and_its_results_are_data_frames(
    tiny_study: str, finished_run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    study = trimtab.Study.parse(tiny_study)
    assert {stage.state for stage in trimtab.plan(study, folder).stages} == {"done"}
    assert "0 stages are done" in str(trimtab.plan(study, tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    results = trimtab.run(study, folder, device="cpu")
    assert (folder / "report.html").is_file()
    assert results.study == study


def test_the_metrics_of_a_run_are_those_of_its_report(finished_run: Path) -> None:
    results = trimtab.open_run(finished_run)
    metrics = results.metrics()
    assert list(metrics.columns) == ["arm", "metric", "value", "low", "high", "n", "n_failed"]
    assert set(metrics["arm"]) <= set(results.arms)
    weak = next(arm for arm in results.report.arms if arm.name == "weak")
    (row,) = metrics[(metrics["arm"] == "weak") & (metrics["metric"] == "accuracy")].to_dict("records")
    assert row["value"] == weak.metrics["accuracy"].value
    differences = results.differences()
    assert len(differences) == len(results.report.comparisons)


def test_the_labels_pairs_and_responses_of_a_run_are_data_frames(finished_run: Path) -> None:
    results = trimtab.open_run(finished_run)
    labels, unlabeled = results.labels("weak"), results.pairs("unlabeled")
    assert {"id", "p_a", "margin", "status"} <= set(labels.columns)
    assert set(labels["id"]) == set(unlabeled["id"])
    assert set(unlabeled["human"]) <= {"a", "b"}
    completions = results.completions("weak")
    assert list(completions.columns)[-1] == "score.checker"
    assert len(completions) == results.pairs("test")["prompt_id"].nunique()
    with pytest.raises(trimtab.StudyError, match="arm base has no labels"):
        results.labels("base")
    with pytest.raises(trimtab.StudyError, match=r"unknown arm 'week' \(expected one of: base, sft, "):
        results.labels("week")
    with pytest.raises(trimtab.StudyError, match="split 'dev': expected one of: labeled, unlabeled, test"):
        results.pairs("dev")


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(trimtab.StoreError, match=r"no run\.json"):
        trimtab.open_run(tmp_path)


def test_importing_the_package_is_light_and_every_public_name_exists() -> None:
    code = (
        "import sys, trimtab; heavy = [name for name in ('torch', 'pandas', 'pydantic', 'rich') if name in sys.modules]; "
        "missing = [name for name in trimtab.__all__ if not hasattr(trimtab, name)]; print(heavy, missing)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = trimtab.nothing  # type: ignore[attr-defined]
