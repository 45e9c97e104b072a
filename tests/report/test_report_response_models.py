"""The report compares the models that wrote the responses of a study's pairs, by the labels of each arm."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scripted_run import create_runtime

from trimtab.annotators.length import Length
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.data.split import SplitSettings
from trimtab.filters.subset import Subset
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.filter import filter_stage
from trimtab.pipeline.stages.split import split_stage
from trimtab.report.collect.report import collect_report
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.page.sections.response_models import build_response_model_tables
from trimtab.report.table import render_terminal_table
from trimtab.sources.file import File
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import ANNOTATION_SCHEMA, annotations_to_rows, load_split_pairs

SETTINGS = SplitSettings()
LABELED = [{"prompt": f"known {n}", "chosen": f"a good one {n}", "rejected": f"bad {n}"} for n in range(4)]
TEST = [{**row, "prompt": f"test {n}"} for n, row in enumerate(LABELED)]
# The response of `big` is longer in 9 of 12 pairs. Both responses to the last prompt are by one model.
POOL = [
    {
        "prompt": f"question {n}",
        "response_a": f"short {n}",
        "response_b": f"a longer response {n}",
        "model_a": "big" if n < 3 else "small",
        "model_b": "small" if n < 3 else "big",
    }
    for n in range(12)
]
ONE_MODEL = {"prompt": "alone", "response_a": "short", "response_b": "much longer", "model_a": "big", "model_b": "big"}
STUDY = """
name: named
data:
  labeled: {kind: file, path: labeled.jsonl}
  unlabeled: {kind: file, path: pool.jsonl}
  test: {kind: file, path: test.jsonl}
models: {weak: ./weak, student: ./student}
"""


def write_rows(path: Path, rows: list[dict[str, str]]) -> File:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return File(path=str(path))


def create_run(folder: Path, pool: list[dict[str, str]]) -> Path:
    """A run with the labels of the arm `longest`, of which a filter keeps half. Nothing is trained."""
    sources = {
        "labeled": write_rows(folder / "labeled.jsonl", LABELED),
        "unlabeled": write_rows(folder / "pool.jsonl", pool),
        "test": write_rows(folder / "test.jsonl", TEST),
    }
    run, runtime = folder / "run", create_runtime()
    store = Store(run)
    stage = split_stage(sources, SETTINGS, 100, {})
    split = store.get_or_create("split", stage.recipe, lambda draft: stage.run(draft, {}, runtime))
    annotations = Length().annotate(load_split_pairs(split, "unlabeled"), AnnotatorInputs())

    def write_labels(draft: Any, inputs: Any, runtime: Any) -> dict[str, int]:
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        return {"pairs": len(annotations)}

    annotate = Stage(name="annotate.longest", kind="annotate", execute=write_labels)
    labels = store.get_or_create(annotate.name, annotate.recipe, lambda draft: annotate.run(draft, {}, runtime))
    select = filter_stage("filter.longest", Subset(fraction=0.5), stage, annotate, {})
    inputs: dict[str, Artifact] = {"split": split, "labels": labels}
    kept = store.get_or_create(select.name, select.recipe, lambda draft: select.execute(draft, inputs, runtime))
    none = dict.fromkeys(("training", "policy_logprobs", "reference_logprobs", "completions", "predictions"))
    row: dict[str, Any] = {"name": "longest", "annotator": "length", "labels": kept.folder.name, "scores": {}, **none}
    index = {
        "trimtab_version": "0.1.0",
        "study": "named",
        "split": split.folder.name,
        "test_rewards": {},
        "created": [],
    }
    stages = [each.folder.name for each in (split, labels, kept)]
    (run / "run.json").write_text(json.dumps(index | {"rows": [row], "stages": stages}), encoding="utf-8")
    (run / "study.yaml").write_text(STUDY, encoding="utf-8")
    return run


def test_each_arm_has_the_share_of_all_pairs_in_which_one_model_is_preferred(tmp_path: Path) -> None:
    report = collect_report(create_run(tmp_path, [*POOL, ONE_MODEL]))
    assert report.labels[0].metrics["coverage"].value == pytest.approx(0.5, abs=0.05)
    (preference,) = report.labels[0].model_preferences
    assert preference.models == ("big", "small")
    assert (preference.share.value, preference.share.n) == (9 / 12, 12)
    assert report_from_json(report_to_json(report)) == report


def test_the_page_and_the_terminal_show_the_models(tmp_path: Path) -> None:
    report = collect_report(create_run(tmp_path, POOL))
    (table,) = build_response_model_tables(report)
    output = StringIO()
    Console(file=output, width=120).print(render_terminal_table(table))
    assert "0.750 [" in output.getvalue()
    page = render_html(report)
    assert '<section id="response_models">' in page
    assert ">big<" in page


@pytest.mark.parametrize("pool", [[ONE_MODEL], [{k: v for k, v in row.items() if "model" not in k} for row in POOL]])
def test_pairs_of_one_model_and_of_no_model_have_no_table(tmp_path: Path, pool: list[dict[str, str]]) -> None:
    report = collect_report(create_run(tmp_path, pool))
    assert build_response_model_tables(report) == ()
