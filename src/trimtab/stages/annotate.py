"""Labels for one side of the split, by one annotator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from trimtab.components import Component
from trimtab.errors import DataError, StudyError
from trimtab.protocols import Annotator, Given, Runtime
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import ANNOTATIONS, annotation_rows, annotations_of, logprobs_of, pairs_of
from trimtab.store import Draft
from trimtab.types import Annotation, Choice, Pair

# Past this share of labels that failed, as opposed to abstained, something is wrong with the annotator and not the pairs.
MAX_FAILED = 0.2


def annotate_stage(
    name: str, annotator: Component, split: Stage, tables: Mapping[str, Stage], labels: Mapping[str, Stage]
) -> Stage:
    """Labels the unlabeled pairs. `tables` and `labels` hold what the annotator said it reads, under the same names."""
    asked = as_annotator(annotator)

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        pairs = pairs_of(inputs["split"], "unlabeled")
        human: dict[str, Choice] = {pair.id: pair.human for pair in pairs if pair.human is not None}
        given = Given(
            logprobs={model: logprobs_of(inputs[f"logprobs.{model}"]) for model in tables},
            labels={arm: annotations_of(inputs[f"labels.{arm}"]) for arm in labels},
            human=human,
        )
        annotations = asked.annotate(pairs, given)
        draft.write_rows("annotations", annotation_rows(annotations), ANNOTATIONS)
        return checked(name, pairs, annotations, str(draft.folder))

    return Stage(
        name=name,
        kind="annotate",
        make=make,
        settings={"annotator": told(annotator)},
        needs={
            "split": split,
            **{f"logprobs.{model}": stage for model, stage in tables.items()},
            **{f"labels.{arm}": stage for arm, stage in labels.items()},
        },
    )


def as_annotator(component: Component) -> Annotator:
    if not isinstance(component, Annotator):
        raise StudyError(f"{type(component).__name__} is not an annotator (it needs `models`, `arms` and `annotate`)")
    return component


def checked(name: str, pairs: list[Pair], annotations: list[Annotation], where: str) -> dict[str, Any]:
    """Facts for the record. Raises `DataError` when labels are not one a pair in order, or too many failed."""
    if [pair.id for pair in pairs] != [each.pair_id for each in annotations]:
        raise DataError(f"{name}: the annotator must give one annotation a pair, in the order of the pairs")
    status = Counter(each.status for each in annotations)
    if status["failed"] > MAX_FAILED * len(annotations):
        raise DataError(
            f"{name}: {status['failed']} of {len(annotations)} labels failed (more than {MAX_FAILED:.0%}); "
            f"the notes in {where} say why"
        )
    return {"pairs": len(pairs), "status": dict(status)}
