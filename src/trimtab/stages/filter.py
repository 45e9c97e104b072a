"""Labels that are good enough to train on: the others abstain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from trimtab.components import Component, kind_of
from trimtab.errors import DataError, StudyError
from trimtab.protocols import Filter, Given, Runtime
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import ANNOTATIONS, annotation_rows, annotations_of, pairs_of
from trimtab.store import Draft
from trimtab.types import Annotation, Choice


def filter_stage(
    name: str,
    chosen: Component,
    split: Stage,
    labels: Stage,
    others: Mapping[str, Stage],
    held_out: Stage | None = None,
) -> Stage:
    """The labels of one arm, those that the filter drops turned into abstentions that say so. `others` are the labels of
    the arms that the filter reads; `held_out` the arm's labels of the labeled pairs, for a filter that learns from them."""
    as_filter(chosen)

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        found = annotations_of(inputs["labels"])
        pairs = pairs_of(inputs["split"], "unlabeled")
        annotations = [found[pair.id] for pair in pairs]
        given = Given(
            labels={arm: annotations_of(inputs[f"labels.{arm}"]) for arm in others},
            pairs={pair.id: pair for pair in pairs},
            held_out=annotations_of(inputs["held_out"]) if held_out else {},
            human=_human(inputs) if held_out else {},
        )
        after = filtered(name, chosen, annotations, given)
        draft.write_rows("annotations", annotation_rows(after), ANNOTATIONS)
        return facts(given, annotations, after)

    return Stage(
        name=name,
        kind="filter",
        make=make,
        settings={"filter": told(chosen)},
        needs={
            "split": split,
            "labels": labels,
            **{f"labels.{arm}": stage for arm, stage in others.items()},
            **({"held_out": held_out} if held_out else {}),
        },
    )


def filtered(name: str, chosen: Component, annotations: Sequence[Annotation], given: Given) -> list[Annotation]:
    """The labels, those that the filter drops turned into abstentions that say so. Raises `DataError` where none is left."""
    kept = as_filter(chosen).keep(annotations, given)
    if len(kept) != len(annotations):
        raise DataError(f"{name}: the filter gave {len(kept)} answers for {len(annotations)} labels")
    dropped = f"dropped by {kind_of(chosen)}"
    after = [
        each if keep or each.status != "ok" else replace(each, p_a=None, margin=None, status="abstained", note=dropped)
        for each, keep in zip(annotations, kept, strict=True)
    ]
    if not any(each.status == "ok" for each in after):
        raise DataError(f"{name}: the filter keeps none of {len(annotations)} labels; loosen it")
    return after


def _human(inputs: Inputs) -> dict[str, Choice]:
    return {pair.id: pair.human for pair in pairs_of(inputs["split"], "labeled") if pair.human is not None}


def facts(given: Given, before: Sequence[Annotation], after: Sequence[Annotation]) -> dict[str, Any]:
    """For the record: how many labels there were and are, and by how many characters the preferred response is the longer,
    on average over the labels that were kept and over those that were dropped; None where there are none."""
    leads: dict[str, list[int]] = {"kept": [], "dropped": []}
    for label, left in zip(before, after, strict=True):
        if label.choice is not None:
            side = "kept" if left.status == "ok" else "dropped"
            leads[side].append(given.pairs[label.pair_id].lead(label.choice))
    return {
        "pairs": len(before),
        "labeled": sum(each.status == "ok" for each in before),
        "kept": sum(each.status == "ok" for each in after),
        "length_difference": {name: fmean(each) if each else None for name, each in leads.items()},
    }


def as_filter(component: Component) -> Filter:
    if not isinstance(component, Filter):
        raise StudyError(f"{type(component).__name__} is not a filter (it needs `arms` and `keep`)")
    return component
