"""How an annotator does on labeled pairs that it did not learn from: folds of the labeled side, and their labels together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.core.runtime import Runtime
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

# A labeled side that is smaller than this tells nothing of how good labels are.
MIN_CROSS_FIT_PAIRS = 20


def cv_fold_stage(split: Stage, fold: int, folds: int, seed: int) -> Stage:
    """A split whose `labeled` pairs are those outside the fold and whose `unlabeled` ones are those in it.

    A pair's fold is drawn from the seed and its prompt. One fold holds all labeled pairs, and nothing is left to learn from:
    that is for annotators that learn from none.
    """

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        pairs = load_split_pairs(inputs["split"], "labeled")
        if len(pairs) < MIN_CROSS_FIT_PAIRS:
            raise DataError(
                f"{len(pairs)} labeled pairs are too few to tell how good labels are, expected {MIN_CROSS_FIT_PAIRS} or more"
            )
        inside = {pair.id for pair in pairs if _assign_fold(pair.prompt_id, folds, seed) == fold}
        if not inside:
            raise DataError(f"fold {fold + 1} of {folds} holds none of {len(pairs)} labeled pairs; ask for fewer folds")
        sides = {
            "labeled": [pair for pair in pairs if pair.id not in inside],
            "unlabeled": [pair for pair in pairs if pair.id in inside],
            "test": [],
        }
        return _write_splits(draft, sides)

    return Stage(
        name=f"fold.{fold + 1}-of-{folds}",
        kind="cv_fold",
        execute=make,
        settings={"fold": fold, "folds": folds, "seed": seed},
        input_stages={"split": split},
    )


def subsample_stage(split: Stage, max_pairs: Mapping[str, int], seed: int) -> Stage:
    """A split with at most so many pairs on each of these sides, drawn from the seed and the pairs' ids: what fewer labels
    would have told. Sides that are not named stay whole."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        sides = {side: load_split_pairs(inputs["split"], side) for side in ("labeled", "unlabeled", "test")}
        for side, count in max_pairs.items():
            drawn = sorted(sides[side], key=lambda pair: text_hash("part", str(seed), pair.id))[:count]
            kept = {pair.id for pair in drawn}
            sides[side] = [pair for pair in sides[side] if pair.id in kept]
        return _write_splits(draft, sides)

    return Stage(
        name=f"part.{'-'.join(f'{count}-{side}' for side, count in max_pairs.items())}",
        kind="subsample",
        execute=make,
        settings={"most": dict(max_pairs), "seed": seed},
        input_stages={"split": split},
    )


def out_of_fold_stage(name: str, split: Stage, labels: Sequence[Stage]) -> Stage:
    """The labels of all folds, one for each labeled pair of the split, in its order."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        found = {
            key: each for fold in range(len(labels)) for key, each in load_annotations(inputs[f"fold.{fold}"]).items()
        }
        pairs = load_split_pairs(inputs["split"], "labeled")
        annotations = [found[pair.id] for pair in pairs]
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        return validate_annotations(name, pairs, annotations, str(draft.folder))

    return Stage(
        name=name,
        kind="out_of_fold_labels",
        execute=make,
        input_stages={"split": split, **{f"fold.{place}": stage for place, stage in enumerate(labels)}},
    )


def _write_splits(draft: Draft, sides: Mapping[str, Sequence[Pair]]) -> dict[str, Any]:
    """The sides of a split on disk, and facts for the record."""
    for side, found in sides.items():
        draft.write_rows(side, pairs_to_rows(found), PAIR_SCHEMA)
    return {"pairs": {side: len(found) for side, found in sides.items()}}


def _assign_fold(prompt_id: str, folds: int, seed: int) -> int:
    return int(text_hash("fold", str(seed), prompt_id), 16) % folds
