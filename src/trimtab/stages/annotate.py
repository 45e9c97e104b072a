"""Labels for one side of the split, by one annotator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trimtab.components import Component
from trimtab.errors import DataError, EngineError, StudyError
from trimtab.protocols import Annotator, Engine, Given, Identified, Runtime
from trimtab.stages.asked import CHUNK
from trimtab.stages.engines import Engines, answers_of, engines_of
from trimtab.stages.features import features_of
from trimtab.stages.models import ModelSource
from trimtab.stages.reward import rewards_of
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import ANNOTATIONS, annotation_rows, annotations_of, logprobs_of, pairs_of
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
            asking(f"Asking: {name}", asked, pairs, given, runtime, answers_of(draft), chunk)
            if given.engines
            else asked.annotate(pairs, given)
        )
        draft.write_rows("annotations", annotation_rows(annotations), ANNOTATIONS)
        facts = checked(name, pairs, annotations, str(draft.folder))
        if given.engines and (failed := facts["status"].get("failed")):
            runtime.notify(
                f"{name}: {failed} of {len(pairs)} labels failed; to have these asked again, delete {draft.folder} and give "
                "the same command again, which then also makes anew what was made from these labels"
            )
        return facts

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


def asking(
    label: str,
    annotator: Annotator,
    pairs: Sequence[Pair],
    given: Given,
    runtime: Runtime,
    kept: Path,
    chunk: int = CHUNK,
) -> list[Annotation]:
    """Labels that cost questions, so many pairs at a time: of all pairs, or of as many as it took to see that `checked` will
    refuse them, since the rest would be paid for in vain.

    The engines keep what they answered in the folder `kept` (`Asked`), and labels are made anew from that: the same command
    goes on after a kill, and asks again what failed. Raises `EngineError` where a model can be asked no longer.
    """
    labels: list[Annotation] = []
    with runtime.progress(label, len(pairs), "pairs") as tick:
        for start in range(0, len(pairs), chunk):
            these = pairs[start : start + chunk]
            try:
                labels += annotator.annotate(these, given)
            except EngineError as error:
                raise EngineError(
                    f"{error}; {len(labels)} of {len(pairs)} pairs were labeled, and what was answered until then is kept in "
                    f"{kept}: the same command goes on from there"
                ) from error
            tick(len(these))
            if _hopeless(labels, len(pairs)):
                break
    return labels


def as_annotator(component: Component) -> Annotator:
    if not isinstance(component, Annotator):
        raise StudyError(f"{type(component).__name__} is not an annotator (it needs `models`, `arms` and `annotate`)")
    return component


def checked(name: str, pairs: list[Pair], annotations: list[Annotation], where: str) -> dict[str, Any]:
    """Facts for the record. Raises `DataError` when labels are not one a pair in order, or too many failed."""
    if _hopeless(annotations, len(pairs)):
        raise DataError(f"{name}: {_refused(annotations, len(pairs))}; the notes in {where} say why")
    if [pair.id for pair in pairs] != [each.pair_id for each in annotations]:
        raise DataError(f"{name}: the annotator must give one annotation a pair, in the order of the pairs")
    return {"pairs": len(pairs), "status": dict(Counter(each.status for each in annotations))}


def _hopeless(annotations: Sequence[Annotation], pairs: int) -> bool:
    """Whether too many of so many pairs failed already, or all that were tried first."""
    failed = sum(each.status == "failed" for each in annotations)
    return failed > MAX_FAILED * pairs or 0 < failed == len(annotations) < pairs


def _refused(annotations: Sequence[Annotation], pairs: int) -> str:
    """How many labels failed, of what, and that the others were not tried."""
    notes = Counter(each.note for each in annotations if each.status == "failed")
    ((note, _),) = notes.most_common(1)
    left = f", and the other {pairs - len(annotations)} pairs were not tried" if len(annotations) < pairs else ""
    return (
        f"{notes.total()} of {len(annotations)} labels failed (at most {MAX_FAILED:.0%} of all may), most often with "
        f"“{note}”{left}"
    )
