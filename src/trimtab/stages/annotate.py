"""Labels for one side of the split, by one annotator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trimtab.components import Component
from trimtab.errors import DataError, StudyError
from trimtab.protocols import Annotator, Engine, Given, Identified, Runtime
from trimtab.stages.asked import CHUNK
from trimtab.stages.engines import Engines, engines_of
from trimtab.stages.features import features_of
from trimtab.stages.models import ModelSource
from trimtab.stages.reward import rewards_of
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import ANNOTATIONS, annotation_of, annotation_rows, annotations_of, logprobs_of, pairs_of
from trimtab.store import Draft
from trimtab.types import Annotation, Pair

# Past this share of labels that failed, as opposed to abstained, something is wrong with the annotator and not the pairs.
MAX_FAILED = 0.2


Side = Literal["unlabeled", "test"]


@dataclass(frozen=True, kw_only=True)
class Reads:
    """The stages that an annotator's labels are made from, besides the split: `tables` and `labels` under the names by which
    it asked for them, `asked` the study's models among those that it asks, `features` and `reward` where it learns."""

    tables: Mapping[str, Stage] = field(default_factory=dict)
    labels: Mapping[str, Stage] = field(default_factory=dict)
    asked: Mapping[str, ModelSource] = field(default_factory=dict)
    features: Stage | None = None
    reward: Stage | None = None

    def needs(self) -> dict[str, Stage]:
        return {
            **{f"logprobs.{model}": stage for model, stage in self.tables.items()},
            **{f"labels.{arm}": stage for arm, stage in self.labels.items()},
            **({"features": self.features} if self.features else {}),
            **({"reward": self.reward} if self.reward else {}),
        }

    def given(self, inputs: Inputs, pairs: Sequence[Pair], engines: Mapping[str, Engine]) -> Given:
        """What the annotator may read to label these pairs."""
        return Given(
            logprobs={model: logprobs_of(inputs[f"logprobs.{model}"]) for model in self.tables},
            labels={arm: annotations_of(inputs[f"labels.{arm}"]) for arm in self.labels},
            human={pair.id: pair.human for pair in pairs if pair.human is not None},
            engines=engines,
            pairs={pair.id: pair for pair in pairs},
            labeled=pairs_of(inputs["split"], "labeled") if self.features else (),
            features=features_of(inputs["features"]) if self.features else {},
            rewards=rewards_of(inputs["reward"]) if self.reward else {},
        )


def annotate_stage(
    name: str,
    annotator: Component,
    split: Stage,
    reads: Reads,
    side: Side = "unlabeled",
    chunk: int = CHUNK,
) -> Stage:
    """Labels the pairs of one side; those that cost questions, so many pairs at a time."""
    asked = as_annotator(annotator)
    engines = Engines(settings=engines_of(annotator), ours=reads.asked)

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        pairs = pairs_of(inputs["split"], side)
        given = reads.given(inputs, pairs, engines.opened(draft, inputs, runtime))
        annotations = (
            _in_chunks(draft, name, asked, pairs, given, runtime, chunk)
            if given.engines
            else asked.annotate(pairs, given)
        )
        draft.write_rows("annotations", annotation_rows(annotations), ANNOTATIONS)
        return checked(name, pairs, annotations, str(draft.folder))

    return Stage(
        name=name,
        kind="annotate",
        make=make,
        settings={"annotator": told(annotator), **({"side": side} if side != "unlabeled" else {})},
        needs={"split": split, **reads.needs(), **engines.needs()},
        identities={
            **({"annotator": annotator.identity()} if isinstance(annotator, Identified) else {}),
            **engines.identities(),
        },
    )


def _in_chunks(
    draft: Draft, name: str, annotator: Annotator, pairs: Sequence[Pair], given: Given, runtime: Runtime, chunk: int
) -> list[Annotation]:
    """Labels that cost questions are safe on disk chunk by chunk, and within a chunk the answers as they come."""
    by_id = {pair.id: pair for pair in pairs}

    def make(ids: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        with runtime.progress(f"Asking: {name}", len(pairs), "pairs") as tick:
            tick(len(pairs) - len(ids))
            for start in range(0, len(ids), chunk):
                these = [by_id[each] for each in ids[start : start + chunk]]
                rows = annotation_rows(annotator.annotate(these, given))
                yield [{"key": row["id"], **row} for row in rows]
                tick(len(these))

    return [annotation_of(row) for row in draft.keep("annotations", list(by_id), make)]


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
