"""How an annotator does on labeled pairs that it did not learn from: folds of the labeled side, and their labels together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.errors import DataError
from trimtab.protocols import Runtime
from trimtab.stages.annotate import checked
from trimtab.stages.stage import Inputs, Stage
from trimtab.stages.tables import ANNOTATIONS, PAIRS, annotation_rows, annotations_of, pair_rows, pairs_of
from trimtab.store import Draft
from trimtab.types import Pair, text_hash

# A labeled side that is smaller than this tells nothing of how good labels are.
FEWEST = 20


def fold_stage(split: Stage, fold: int, folds: int, seed: int) -> Stage:
    """A split whose `labeled` pairs are those outside the fold and whose `unlabeled` ones are those in it.

    A pair's fold is drawn from the seed and its prompt. One fold holds all labeled pairs, and nothing is left to learn from:
    that is for annotators that learn from none.
    """

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        pairs = pairs_of(inputs["split"], "labeled")
        if len(pairs) < FEWEST:
            raise DataError(
                f"{len(pairs)} labeled pairs are too few to tell how good labels are, expected {FEWEST} or more"
            )
        inside = {pair.id for pair in pairs if _fold(pair.prompt_id, folds, seed) == fold}
        if not inside:
            raise DataError(f"fold {fold + 1} of {folds} holds none of {len(pairs)} labeled pairs; ask for fewer folds")
        sides = {
            "labeled": [pair for pair in pairs if pair.id not in inside],
            "unlabeled": [pair for pair in pairs if pair.id in inside],
            "test": [],
        }
        return _written(draft, sides)

    return Stage(
        name=f"fold.{fold + 1}-of-{folds}",
        kind="fold",
        make=make,
        settings={"fold": fold, "folds": folds, "seed": seed},
        needs={"split": split},
    )


def part_stage(split: Stage, most: Mapping[str, int], seed: int) -> Stage:
    """A split with at most so many pairs on each of these sides, drawn from the seed and the pairs' ids: what fewer labels
    would have told. Sides that are not named stay whole."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        sides = {side: pairs_of(inputs["split"], side) for side in ("labeled", "unlabeled", "test")}
        for side, count in most.items():
            drawn = sorted(sides[side], key=lambda pair: text_hash("part", str(seed), pair.id))[:count]
            kept = {pair.id for pair in drawn}
            sides[side] = [pair for pair in sides[side] if pair.id in kept]
        return _written(draft, sides)

    return Stage(
        name=f"part.{'-'.join(f'{count}-{side}' for side, count in most.items())}",
        kind="part",
        make=make,
        settings={"most": dict(most), "seed": seed},
        needs={"split": split},
    )


def held_out_stage(name: str, split: Stage, labels: Sequence[Stage]) -> Stage:
    """The labels of all folds, one for each labeled pair of the split, in its order."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        found = {
            key: each for fold in range(len(labels)) for key, each in annotations_of(inputs[f"fold.{fold}"]).items()
        }
        pairs = pairs_of(inputs["split"], "labeled")
        annotations = [found[pair.id] for pair in pairs]
        draft.write_rows("annotations", annotation_rows(annotations), ANNOTATIONS)
        return checked(name, pairs, annotations, str(draft.folder))

    return Stage(
        name=name,
        kind="held_out",
        make=make,
        needs={"split": split, **{f"fold.{place}": stage for place, stage in enumerate(labels)}},
    )


def _written(draft: Draft, sides: Mapping[str, Sequence[Pair]]) -> dict[str, Any]:
    """The sides of a split on disk, and facts for the record."""
    for side, found in sides.items():
        draft.write_rows(side, pair_rows(found), PAIRS)
    return {"pairs": {side: len(found) for side, found in sides.items()}}


def _fold(prompt_id: str, folds: int, seed: int) -> int:
    return int(text_hash("fold", str(seed), prompt_id), 16) % folds
