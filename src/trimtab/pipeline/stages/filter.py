"""Filters labels: those that are not good enough to train on become abstentions."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component, get_kind
from trimtab.core.interfaces import Filter, HasFacts
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, NoLabelsError, StudyError
from trimtab.filters._shared.content import hash_filter_content
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import (
    ANNOTATION_SCHEMA,
    annotations_to_rows,
    create_annotation_sequence,
    load_annotations,
    load_pairs_by_id,
    load_split_pairs,
    order_labels,
)
from trimtab.types import Annotation


def filter_stage(
    name: str,
    label_filter: Component,
    split: Stage,
    labels: Stage,
    other_labels: Mapping[str, Stage],
    out_of_fold: Stage | None = None,
) -> Stage:
    """Filters the labels of one arm. Dropped labels become abstentions with a note.

    `other_labels` are the labels of the arms that the filter reads. `out_of_fold` are the arm's labels of the labeled pairs,
    for a filter that learns from them.
    """
    as_filter(label_filter)

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        pairs = load_split_pairs(inputs["split"], "unlabeled")
        before = order_labels(load_annotations(inputs["labels"]), pairs)
        labeled_pairs = list(load_split_pairs(inputs["split"], "labeled")) if out_of_fold else []
        filter_inputs = AnnotatorInputs(
            labels={arm: load_annotations(inputs[f"labels.{arm}"]) for arm in other_labels},
            pairs=load_pairs_by_id(inputs["split"], "unlabeled"),
            out_of_fold_labels=load_annotations(inputs["out_of_fold"]) if out_of_fold else {},
            labeled_pairs=labeled_pairs,
            human_labels={pair.id: pair.human for pair in labeled_pairs if pair.human is not None},
        )
        after = apply_filter(name, label_filter, before, filter_inputs)
        draft.write_rows("annotations", annotations_to_rows(after), ANNOTATION_SCHEMA)
        return {
            **summarize_filtering(filter_inputs, before, after),
            **collect_filter_facts(label_filter, before, filter_inputs),
        }

    return Stage(
        name=name,
        kind="filter",
        role="label_transform",
        execute=execute,
        settings={"filter": identity_settings(label_filter)},
        input_stages={
            "split": split,
            "labels": labels,
            **{f"labels.{arm}": stage for arm, stage in other_labels.items()},
            **({"out_of_fold": out_of_fold} if out_of_fold else {}),
        },
        external_hashes={"filter": content_hash} if (content_hash := hash_filter_content(label_filter)) else {},
    )


def apply_filter(
    name: str, label_filter: Component, annotations: Sequence[Annotation], inputs: AnnotatorInputs
) -> Sequence[Annotation]:
    """The labels, with those that the filter drops as abstentions. Raises `NoLabelsError` if the filter keeps none."""
    keep_flags = as_filter(label_filter).keep(annotations, inputs)
    if len(keep_flags) != len(annotations):
        raise DataError(f"{name}: the filter returned {len(keep_flags)} flags for {len(annotations)} labels")
    note = f"dropped by {get_kind(label_filter)}"
    filtered, num_kept = create_annotation_sequence(), 0
    for annotation, keep in zip(annotations, keep_flags, strict=True):
        is_dropped = annotation.status == "ok" and not keep
        num_kept += annotation.status == "ok" and not is_dropped
        filtered.append(
            replace(annotation, p_a=None, margin=None, status="abstained", note=note) if is_dropped else annotation
        )
    if not num_kept:
        raise NoLabelsError(f"{name}: the filter keeps none of {len(annotations)} labels; use a less strict filter")
    return filtered.as_sequence()


def summarize_filtering(
    inputs: AnnotatorInputs, before: Sequence[Annotation], after: Sequence[Annotation]
) -> dict[str, Any]:
    """Facts for the record: counts, and mean length differences of kept and of dropped labels.

    A length difference is that of the preferred response from the other one, in characters; None if there are no labels.
    """
    differences = {group: array("q") for group in ("kept", "dropped")}
    for label, filtered in zip(before, after, strict=True):
        if label.choice is not None:
            group = "kept" if filtered.status == "ok" else "dropped"
            differences[group].append(inputs.pairs[label.pair_id].length_difference(label.choice))
    return {
        "pairs": len(before),
        "labeled": sum(label.status == "ok" for label in before),
        "kept": sum(label.status == "ok" for label in after),
        "length_difference": {group: fmean(values) if values else None for group, values in differences.items()},
    }


def collect_filter_facts(
    label_filter: Component, annotations: Sequence[Annotation], inputs: AnnotatorInputs
) -> Mapping[str, Any]:
    """What the filter itself records; empty for most filters."""
    return label_filter.collect_facts(annotations, inputs) if isinstance(label_filter, HasFacts) else {}


def as_filter(component: Component) -> Filter:
    if not isinstance(component, Filter):
        raise StudyError(f"{type(component).__name__} is not a filter (it needs `requirements` and `keep`)")
    return component
