"""An annotator that learned from labeled pairs of a pool labels the rest of the pool."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, StudyError
from trimtab.sources.file import File
from trimtab.workflows.annotate_file import annotate_file
from trimtab.workflows.annotate_pairs import TRAINING_PROMPT_NOTE, TrainingPairs

NUM_LABELED = 24
POOL = [
    {"prompt": f"Say it {number} times.", "response_a": "gladly" * (number % 3 + 1), "response_b": "no"}
    for number in range(30)
]


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def annotate(
    folder: Path, pool: list[dict[str, str]], settings: tuple[str, ...], runtime: Runtime, kind: str = "probe"
) -> str:
    labeled = write_rows(folder / "labeled.jsonl", [{**row, "label": "a"} for row in POOL[:NUM_LABELED]])
    training_pairs = TrainingPairs(File(path=str(labeled)))
    path, output = write_rows(folder / "pool.jsonl", pool), folder / "labels.jsonl"
    return annotate_file(path, kind, settings, None, output, runtime, training_pairs)


def test_pairs_whose_prompts_were_learned_from_have_no_label(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    other = {**POOL[0], "prompt": " say it 0 TIMES.", "response_a": "another response"}  # the prompt of a training pair
    summary = annotate(tmp_path, [*POOL, other], (f"model={tiny_model}",), runtime)
    assert "31 pairs: 6 labeled, 25 abstained, 0 failed" in summary
    assert f"run `trimtab audit {tmp_path / 'labeled.jsonl'} --annotator probe`" in summary.splitlines()[-1]
    assert f"25 pairs have no label: their prompts are among those of {tmp_path / 'labeled.jsonl'}" in summary
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["trimtab_status"] for row in rows] == ["abstained"] * NUM_LABELED + ["ok"] * 6 + ["abstained"]
    assert {row["trimtab_note"] for row in rows if row["trimtab_status"] == "abstained"} == {TRAINING_PROMPT_NOTE}


def test_a_pool_without_other_prompts_is_an_error(tiny_model: Path, runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the prompts of all 10 pairs are among those of the training pairs"):
        annotate(tmp_path, POOL[:10], (f"model={tiny_model}",), runtime)
    assert not (tmp_path / "labels.jsonl").exists()


def test_criteria_learn_their_weights_from_the_labeled_pairs(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    settings = (f"weak={tiny_model}", 'criteria={kind: ["Which is kinder?"], right: ["Which is right?"]}')
    summary = annotate(tmp_path, POOL[NUM_LABELED:], settings, runtime, "criteria")
    assert "6 pairs: 6 labeled" in summary
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    criteria = [row["trimtab_detail"]["criteria"] for row in rows]
    assert all(list(each) == ["kind", "right"] for each in criteria)
    assert len({tuple(answer["weight"] for answer in each.values()) for each in criteria}) == 1


def test_probes_learn_answers_about_criteria_from_another_model(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    settings = (f"model={tiny_model}", f"strong={tiny_model}", 'criteria={kind: ["Which is kinder?"]}')
    summary = annotate(tmp_path, POOL[NUM_LABELED:], settings, runtime, "criteria_probe")
    assert "6 pairs: 6 labeled" in summary
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    criteria = [row["trimtab_detail"]["criteria"]["kind"] for row in rows]
    assert len({each["p_a"] for each in criteria}) == len(rows)
    assert all(20 <= each["held_out_pairs"] <= NUM_LABELED for each in criteria)


def test_criteria_that_ask_a_model_of_a_study_need_a_study(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="annotator criteria: weak: @weak is a model of a study"):
        annotate(tmp_path, POOL, ("weak=@weak",), runtime, "criteria")
