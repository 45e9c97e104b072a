"""Out-of-fold labels: how well an annotator labels pairs that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core.runtime import Runtime
from trimtab.data.split import SPLIT_NAMES
from trimtab.errors import DataError
from trimtab.pipeline.stage import Stage, StageInputs
from trimtab.pipeline.stages.annotate import validate_annotations
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import (
    ANNOTATION_SCHEMA,
    PAIR_SCHEMA,
    annotations_to_rows,
    load_annotations,
    load_split_pairs,
    pairs_to_rows,
)
from trimtab.types import Pair, text_hash

# Fewer labeled pairs are too few to measure label quality.
MIN_CROSS_FIT_PAIRS = 20


def cv_fold_stage(split: Stage, fold: int, folds: int, seed: int) -> Stage:
    """A split whose `labeled` pairs are outside the fold and whose `unlabeled` pairs are in it.

    The fold of a pair is drawn from the seed and the prompt. With a single fold, no labeled pairs are left to learn from; this
    is for annotators that do not learn.
    """

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        pairs = load_split_pairs(inputs["split"], "labeled")
        if len(pairs) < MIN_CROSS_FIT_PAIRS:
            raise DataError(
                f"{len(pairs)} labeled pairs are too few to measure label quality, expected {MIN_CROSS_FIT_PAIRS} or more"
            )
        in_fold = {pair.id for pair in pairs if _assign_fold(pair.prompt_id, folds, seed) == fold}
        if not in_fold:
            raise DataError(f"fold {fold + 1} of {folds} has none of the {len(pairs)} labeled pairs; use fewer folds")
        return _write_splits(
            draft,
            {
                "labeled": [pair for pair in pairs if pair.id not in in_fold],
                "unlabeled": [pair for pair in pairs if pair.id in in_fold],
                "test": [],
            },
        )

    return Stage(
        name=f"cv-fold.{fold + 1}-of-{folds}",
        kind="cv_fold",
        execute=execute,
        settings={"fold": fold, "folds": folds, "seed": seed},
        input_stages={"split": split},
    )


def subsample_stage(split: Stage, max_pairs: Mapping[str, int], seed: int) -> Stage:
    """A split with at most `max_pairs[name]` pairs per named split, sampled by the seed and the pair ids.

    Splits that are not named keep all pairs. Used for learning curves.
    """

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        splits = {name: load_split_pairs(inputs["split"], name) for name in SPLIT_NAMES}
        for name, count in max_pairs.items():
            sampled = sorted(splits[name], key=lambda pair: text_hash("part", str(seed), pair.id))[:count]
            kept = {pair.id for pair in sampled}
            splits[name] = [pair for pair in splits[name] if pair.id in kept]
        return _write_splits(draft, splits)

    return Stage(
        name=f"subsample.{'-'.join(f'{count}-{name}' for name, count in max_pairs.items())}",
        kind="subsample",
        execute=execute,
        settings={"max_pairs": dict(max_pairs), "seed": seed},
        input_stages={"split": split},
    )


def out_of_fold_stage(name: str, split: Stage, fold_labels: Sequence[Stage]) -> Stage:
    """Merges the labels of all folds: one label per labeled pair, in the order of the split."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        labels = {
            pair_id: label
            for fold in range(len(fold_labels))
            for pair_id, label in load_annotations(inputs[f"fold.{fold}"]).items()
        }
        pairs = load_split_pairs(inputs["split"], "labeled")
        annotations = [labels[pair.id] for pair in pairs]
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        return validate_annotations(name, pairs, annotations, str(draft.folder))

    return Stage(
        name=name,
        kind="out_of_fold_labels",
        execute=execute,
        input_stages={"split": split, **{f"fold.{fold}": stage for fold, stage in enumerate(fold_labels)}},
    )


def _write_splits(draft: Draft, splits: Mapping[str, Sequence[Pair]]) -> dict[str, Any]:
    """Writes the splits and returns facts for the record."""
    for name, pairs in splits.items():
        draft.write_rows(name, pairs_to_rows(pairs), PAIR_SCHEMA)
    return {"pairs": {name: len(pairs) for name, pairs in splits.items()}}


def _assign_fold(prompt_id: str, folds: int, seed: int) -> int:
    return int(text_hash("fold", str(seed), prompt_id), 16) % folds
