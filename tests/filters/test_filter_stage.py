"""The record of a filtered arm: kept and dropped labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trimtab.core.runtime import Runtime
from trimtab.filters.length_balance import LengthBalance
from trimtab.filters.uncertainty import Uncertainty
from trimtab.pipeline.stage import Stage, StageFunction
from trimtab.pipeline.stages.filter import filter_stage
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import ANNOTATION_SCHEMA, PAIR_SCHEMA, annotations_to_rows, load_annotations, pairs_to_rows
from trimtab.types import Annotation, Pair, build_user_prompt

# The preferred response is longer by 4, shorter by 2, longer by 10 and longer by 6; two labels have no preference.
UNLABELED = [
    Pair(id=key, prompt=build_user_prompt(f"Question {key}?"), a="x" * a, b="y" * b)
    for key, a, b in (("p", 5, 1), ("q", 3, 1), ("r", 11, 1), ("s", 7, 1), ("t", 1, 9), ("u", 1, 9))
]
LABELS = [
    Annotation(pair_id="p", p_a=0.9),
    Annotation(pair_id="q", p_a=0.05),
    Annotation(pair_id="r", p_a=0.6),
    Annotation(pair_id="s", p_a=0.7),
    Annotation(pair_id="t", p_a=None, status="abstained", note="tie"),
    Annotation(pair_id="u", p_a=None, status="failed", note="timed out"),
]


def made(store: Store, stage: Stage, inputs: Mapping[str, Artifact], runtime: Runtime) -> Artifact:
    return store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, runtime))


def filtered(folder: Path, chosen: Uncertainty | LengthBalance, runtime: Runtime) -> Artifact:
    def rows(tables: Mapping[str, Iterable[dict[str, Any]]], schema: Any) -> StageFunction:
        def make(draft: Any, inputs: Any, runtime: Runtime) -> Mapping[str, Any]:
            for table, values in tables.items():
                draft.write_rows(table, values, schema)
            return {}

        return make

    split = Stage(
        name="split", kind="split", execute=rows({"labeled": [], "unlabeled": pairs_to_rows(UNLABELED)}, PAIR_SCHEMA)
    )
    labels = Stage(
        name="labels", kind="annotate", execute=rows({"annotations": annotations_to_rows(LABELS)}, ANNOTATION_SCHEMA)
    )
    store = Store(folder)
    inputs = {name: made(store, stage, {}, runtime) for name, stage in {"split": split, "labels": labels}.items()}
    return made(store, filter_stage("filter.arm", chosen, split, labels, {}), inputs, runtime)


def test_the_record_has_the_length_difference_of_preferred_responses(tmp_path: Path, runtime: Runtime) -> None:
    artifact = filtered(tmp_path, Uncertainty(fraction=0.5), runtime)
    assert artifact.record["facts"] == {
        "pairs": 6,
        "labeled": 4,
        "kept": 2,
        "length_difference": {"kept": (4 - 2) / 2, "dropped": (10 + 6) / 2},
    }


def test_without_dropped_labels_their_length_difference_is_missing(tmp_path: Path, runtime: Runtime) -> None:
    artifact = filtered(tmp_path, Uncertainty(fraction=1), runtime)
    assert artifact.record["facts"]["length_difference"] == {"kept": (4 - 2 + 10 + 6) / 4, "dropped": None}


def test_a_dropped_label_abstains_with_the_filters_name_and_the_others_are_unchanged(
    tmp_path: Path, runtime: Runtime
) -> None:
    artifact = filtered(tmp_path, LengthBalance(bins=1), runtime)
    after = load_annotations(artifact)
    assert {key: label.note for key, label in after.items() if label.note.startswith("dropped")} == {
        "r": "dropped by length_balance",
        "s": "dropped by length_balance",
    }
    assert [after[key] for key in "pqtu"] == [LABELS[index] for index in (0, 1, 4, 5)]
    assert artifact.record["facts"]["length_difference"] == {"kept": 1.0, "dropped": 8.0}
