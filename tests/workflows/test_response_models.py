"""The models that wrote the responses of a pool are compared by its labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trimtab.core.runtime import Runtime
from trimtab.errors import StoreError
from trimtab.metrics.model_preference import MAX_COMPARISONS, ModelPreference, compare_models
from trimtab.sources.file import File
from trimtab.stats import proportion
from trimtab.types import Annotation
from trimtab.workflows.annotate_file import annotate_file
from trimtab.workflows.output_files import lock_completions
from trimtab.workflows.response_models import format_model_preferences, read_response_models

# The response of the model `big` is the longer one in 8 of 10 pairs.
ROWS = [
    {
        "prompt": f"question {number}",
        "response_a": f"short {number}",
        "response_b": f"a longer response {number}",
        "model_a": "big" if number < 2 else "small",
        "model_b": "small" if number < 2 else "big",
    }
    for number in range(10)
]
SAME = {"prompt": "x", "response_a": "one", "response_b": "two words", "model_a": "big", "model_b": "big"}


def write_pool(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_model_belongs_to_its_response_whichever_of_them_is_a(tmp_path: Path) -> None:
    source = File(path=str(write_pool(tmp_path / "pool.jsonl", ROWS)))
    dataset = source.load()
    models = read_response_models(dataset)
    assert len({pair.a.startswith("short") for pair in dataset.pairs}) == 2
    for pair in dataset.pairs:
        row = next(row for row in ROWS if row["prompt"] == pair.prompt[0].content)
        by_text = {row["response_a"]: row["model_a"], row["response_b"]: row["model_b"]}
        assert models[pair.id] == (by_text[pair.a], by_text[pair.b])


@pytest.mark.parametrize(
    "changes", [{"model_a": ""}, {"model_b": None}, {"response_a": None, "chosen": "good", "rejected": "bad"}]
)
def test_rows_that_name_no_models_or_have_other_columns_are_left_out(
    tmp_path: Path, changes: dict[str, str | None]
) -> None:
    row = {name: value for name, value in {**ROWS[0], **changes}.items() if value is not None}
    source = File(path=str(write_pool(tmp_path / "pool.jsonl", [row])))
    assert read_response_models(source.load()) == {}


def test_the_share_counts_a_tie_as_one_half_and_no_other_label() -> None:
    models = {str(number): ("x", "y") if number % 2 else ("y", "x") for number in range(8)}
    prompts = {key: f"prompt {key}" for key in models}
    p_a = {0: 0.1, 1: 0.9, 2: 0.2, 3: 0.8, 4: 0.9, 5: 0.5}  # x, x, x, x, y, no difference
    labels = [Annotation(pair_id=str(number), p_a=value) for number, value in p_a.items()]
    labels += [Annotation(pair_id="6", p_a=None, status="failed"), Annotation(pair_id="other", p_a=0.9)]
    (preference,) = compare_models(labels, models, prompts)
    assert preference.models == ("x", "y")
    assert preference.share.value == pytest.approx(4.5 / 6)
    assert preference.share.n == 6


def test_pairs_of_one_prompt_are_not_independent() -> None:
    models = {str(number): ("x", "y") for number in range(40)}
    labels = [Annotation(pair_id=str(number), p_a=0.9 if number % 10 < 7 else 0.1) for number in range(40)]
    intervals = []
    for prompts in ({key: key for key in models}, {key: str(int(key) % 10) for key in models}):
        (preference,) = compare_models(labels, models, prompts)
        intervals.append((preference.share.low or 0, preference.share.high or 0))
    assert intervals[1][0] < intervals[0][0] < 0.7 < intervals[0][1] < intervals[1][1]


def test_many_models_give_a_few_lines() -> None:
    share = proportion(3, 4)
    preferences = [ModelPreference(models=("x", str(number)), share=share) for number in range(MAX_COMPARISONS + 5)]
    lines = format_model_preferences(preferences)
    assert lines[0] == "x preferred over 0: 75% [30%, 95%] of 4 pairs"
    assert lines[MAX_COMPARISONS:] == ["5 more comparisons of two models, with fewer pairs"]


def test_the_summary_of_labels_compares_the_models(tmp_path: Path, runtime: Runtime) -> None:
    pool = write_pool(tmp_path / "pool.jsonl", [*ROWS, SAME])
    summary = annotate_file(pool, "length", (), None, tmp_path / "labels.jsonl", runtime)
    assert "big preferred over small: 80% [" in summary
    assert "] of 10 pairs" in summary
    assert "not read" not in summary
    only = write_pool(tmp_path / "one-model.jsonl", [SAME])
    assert "preferred over" not in annotate_file(only, "length", (), None, tmp_path / "labels.jsonl", runtime)


def test_a_second_process_on_the_same_labels_is_refused(tmp_path: Path, runtime: Runtime) -> None:
    pool, output = write_pool(tmp_path / "pool.jsonl", ROWS), tmp_path / "labels.jsonl"
    with lock_completions(output), pytest.raises(StoreError, match=r"labels\.jsonl\.completions is in use"):
        annotate_file(pool, "length", (), None, output, runtime)
    annotate_file(pool, "length", (), None, output, runtime)
    assert not (tmp_path / "labels.jsonl.completions").exists()
