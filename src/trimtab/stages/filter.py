"""Labels that are good enough to train on: the others abstain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trimtab.components import Component, kind_of
from trimtab.errors import DataError, StudyError
from trimtab.protocols import Filter, Given, Runtime
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import ANNOTATIONS, annotation_rows, annotations_of, pairs_of
from trimtab.store import Draft


def filter_stage(name: str, chosen: Component, split: Stage, labels: Stage, others: Mapping[str, Stage]) -> Stage:
    """The labels of one arm, those that the filter drops turned into abstentions that say so. `others` are the labels of
    the arms that the filter reads."""
    asked = as_filter(chosen)

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        found = annotations_of(inputs["labels"])
        pairs = pairs_of(inputs["split"], "unlabeled")
        annotations = [found[pair.id] for pair in pairs]
        given = Given(labels={arm: annotations_of(inputs[f"labels.{arm}"]) for arm in others})
        kept = asked.keep(annotations, given)
        if len(kept) != len(annotations):
            raise DataError(f"{name}: the filter gave {len(kept)} answers for {len(annotations)} labels")
        dropped = f"dropped by {kind_of(chosen)}"
        after = [
            each
            if keep or each.status != "ok"
            else replace(each, p_a=None, margin=None, status="abstained", note=dropped)
            for each, keep in zip(annotations, kept, strict=True)
        ]
        if not any(each.status == "ok" for each in after):
            raise DataError(f"{name}: the filter keeps none of {len(annotations)} labels; loosen it")
        draft.write_rows("annotations", annotation_rows(after), ANNOTATIONS)
        ok = sum(each.status == "ok" for each in annotations)
        return {"pairs": len(pairs), "labeled": ok, "kept": sum(each.status == "ok" for each in after)}

    return Stage(
        name=name,
        kind="filter",
        make=make,
        settings={"filter": told(chosen)},
        needs={"split": split, "labels": labels, **{f"labels.{arm}": stage for arm, stage in others.items()}},
    )


def as_filter(component: Component) -> Filter:
    if not isinstance(component, Filter):
        raise StudyError(f"{type(component).__name__} is not a filter (it needs `arms` and `keep`)")
    return component
