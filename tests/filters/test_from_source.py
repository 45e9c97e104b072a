"""The filter by source: labels of pairs that are in one of the sources of the unlabeled pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import build_component
from trimtab.errors import DataError, StudyError
from trimtab.filters.chain import Chain
from trimtab.filters.from_source import FromSource
from trimtab.pipeline.plan import build_plan
from trimtab.sources.file import File
from trimtab.types import Annotation


def write_pairs(path: Path, numbers: range) -> File:
    rows = [{"prompt": f"Question {n}?", "chosen": f"Yes {n}.", "rejected": f"No {n}."} for n in numbers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return File(path=str(path))


def test_labels_of_pairs_outside_the_source_are_dropped(tmp_path: Path) -> None:
    held, other = write_pairs(tmp_path / "held.jsonl", range(3)), write_pairs(tmp_path / "eval.jsonl", range(3, 5))
    labels = [Annotation(pair_id=pair.id, p_a=0.9) for pair in (*held.load().pairs, *other.load().pairs)]
    labels[1] = Annotation(pair_id=labels[1].pair_id, p_a=None, status="abstained")
    assert FromSource(source=held).keep(labels, AnnotatorInputs()) == [True, False, True, False, False]
    assert FromSource(source=other).keep(labels, AnnotatorInputs()) == [False, False, False, True, True]
    with pytest.raises(DataError, match="none of the 2 labeled pairs is among the 2 pairs of the source"):
        FromSource(source=other).keep(labels[:3], AnnotatorInputs())


def test_changed_pairs_change_the_stage_also_inside_a_chain(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    label_filter = {"kind": "from_source", "source": {"kind": "file", "path": str(path)}}

    def fingerprints() -> list[str]:
        arms = {
            "one": {"annotator": "length", "filter": label_filter},
            "two": {
                "annotator": "length",
                "filter": {"kind": "chain", "filters": [label_filter, {"kind": "subset", "fraction": 0.5}]},
            },
        }
        study = {
            "name": "x",
            "data": {"kind": "file", "path": str(tmp_path / "all.jsonl")},
            "models": {"weak": "smollm2-135m-instruct", "student": "smollm2-135m-instruct"},
            "arms": arms,
        }
        plan = build_plan(Study.parse(json.dumps(study)))
        return [row.labels.fingerprint for row in plan.rows if row.labels is not None and row.name in arms]

    write_pairs(tmp_path / "all.jsonl", range(40))
    write_pairs(path, range(3))
    before = fingerprints()
    write_pairs(path, range(4))
    assert all(one != other for one, other in zip(before, fingerprints(), strict=True))


def test_a_chain_without_a_source_has_no_content() -> None:
    chain = build_component(
        "filters", {"kind": "chain", "filters": ["uncertainty", {"kind": "subset", "fraction": 0.5}]}
    )
    assert isinstance(chain, Chain)
    assert chain.content_hash() == ""


def test_something_else_than_a_source_is_an_error() -> None:
    with pytest.raises(StudyError, match="source"):
        build_component("filters", {"kind": "from_source", "source": "length"})
