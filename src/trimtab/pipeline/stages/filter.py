"""Labels that are good enough to train on: the others abstain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component, get_kind
from trimtab.core.interfaces import Filter
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, StudyError
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import ANNOTATION_SCHEMA, annotations_to_rows, load_annotations, load_split_pairs
from trimtab.types import Annotation, Choice


def filter_stage(
    name: str,
    label_filter: Component,
    split: Stage,
    labels: Stage,
    other_labels: Mapping[str, Stage],
    out_of_fold: Stage | None = None,
) -> Stage:
    """The labels of one arm, those that the filter drops turned into abstentions that say so. `others` are the labels of
    the arms that the filter reads; `held_out` the arm's labels of the labeled pairs, for a filter that learns from them."""
    as_filter(label_filter)

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        found = load_annotations(inputs["labels"])
        pairs = load_split_pairs(inputs["split"], "unlabeled")
        annotations = [found[pair.id] for pair in pairs]
        given = AnnotatorInputs(
            labels={arm: load_annotations(inputs[f"labels.{arm}"]) for arm in other_labels},
            pairs={pair.id: pair for pair in pairs},
            out_of_fold_labels=load_annotations(inputs["out_of_fold"]) if out_of_fold else {},
            human_labels=_load_human_labels(inputs) if out_of_fold else {},
        )
        after = apply_filter(name, label_filter, annotations, given)
        draft.write_rows("annotations", annotations_to_rows(after), ANNOTATION_SCHEMA)
        return summarize_filtering(given, annotations, after)

    return Stage(
        name=name,
        kind="filter",
        role="label_transform",
        execute=make,
        settings={"filter": identity_settings(label_filter)},
        input_stages={
            "split": split,
            "labels": labels,
            **{f"labels.{arm}": stage for arm, stage in other_labels.items()},
            **({"out_of_fold": out_of_fold} if out_of_fold else {}),
        },
    )


def apply_filter(
    name: str, chosen: Component, annotations: Sequence[Annotation], given: AnnotatorInputs
) -> list[Annotation]:
    """The labels, those that the filter drops turned into abstentions that say so. Raises `DataError` where none is left."""
    kept = as_filter(chosen).keep(annotations, given)
    if len(kept) != len(annotations):
        raise DataError(f"{name}: the filter gave {len(kept)} answers for {len(annotations)} labels")
    dropped = f"dropped by {get_kind(chosen)}"
    after = [
        each if keep or each.status != "ok" else replace(each, p_a=None, margin=None, status="abstained", note=dropped)
        for each, keep in zip(annotations, kept, strict=True)
    ]
    if not any(each.status == "ok" for each in after):
        raise DataError(f"{name}: the filter keeps none of {len(annotations)} labels; loosen it")
    return after


def _load_human_labels(inputs: StageInputs) -> dict[str, Choice]:
    return {pair.id: pair.human for pair in load_split_pairs(inputs["split"], "labeled") if pair.human is not None}


def summarize_filtering(
    given: AnnotatorInputs, before: Sequence[Annotation], after: Sequence[Annotation]
) -> dict[str, Any]:
    """For the record: how many labels there were and are, and by how many characters the preferred response is the longer,
    on average over the labels that were kept and over those that were dropped; None where there are none."""
    leads: dict[str, list[int]] = {"kept": [], "dropped": []}
    for label, left in zip(before, after, strict=True):
        if label.choice is not None:
            side = "kept" if left.status == "ok" else "dropped"
            leads[side].append(given.pairs[label.pair_id].length_difference(label.choice))
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
