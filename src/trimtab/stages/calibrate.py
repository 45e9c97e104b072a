"""Probabilities that mean what they say: a map fitted on labels of labeled pairs that the annotator did not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import Field

from trimtab import calibration
from trimtab.calibration import Calibrator, Method
from trimtab.components import Settings
from trimtab.errors import DataError
from trimtab.protocols import Runtime
from trimtab.stages.stage import Inputs, Stage, told
from trimtab.stages.tables import ANNOTATIONS, annotation_rows, annotations_of, pairs_of
from trimtab.store import Draft
from trimtab.types import Annotation, Choice, Pair

BINS = 10


class Calibration(Settings):
    """How an arm's probabilities are made honest (`trimtab.calibration`)."""

    method: Literal["temperature", "platt", "isotonic"] = Field(
        "temperature", description="Guo et al. 2017; Platt 1999"
    )
    folds: int = Field(5, ge=2, le=50, description="ours; what the annotator learns is learned once for each")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Labels of labeled pairs by annotators that did not learn from them, and what people said; equally long."""

    p_a: list[float]
    human: list[Choice]
    prompts: list[str]


def calibrate_stage(name: str, settings: Calibration, split: Stage, labels: Stage, held_out: Stage, seed: int) -> Stage:
    """The labels of an arm with calibrated probabilities; margins stay as they are."""

    def make(draft: Draft, inputs: Inputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        known = held_out_labels(pairs_of(inputs["split"], "labeled"), annotations_of(inputs["held_out"]), name)
        calibrator = fitted(settings.method, known, name)
        before = list(annotations_of(inputs["labels"]).values())
        after = calibrated(calibrator, before)
        if any(each.status == "ok" for each in before) and not any(each.status == "ok" for each in after):
            raise DataError(
                f"{name}: its labels are no better than chance on {len(known.human)} labeled pairs that it did not learn from, "
                "so none is left to train on"
            )
        draft.write_rows("annotations", annotation_rows(after), ANNOTATIONS)
        return {"map": asdict(calibrator), **quality(settings.method, known, seed)}  # type: ignore[call-overload]

    return Stage(
        name=name,
        kind="calibrate",
        make=make,
        settings={"calibration": told(settings), "seed": seed},
        needs={"split": split, "labels": labels, "held_out": held_out},
    )


def held_out_labels(labeled: Sequence[Pair], annotations: Mapping[str, Annotation], name: str) -> HeldOut:
    """Of the pairs that have a probability and a human label. Raises `DataError` for fewer than 20 of them."""
    both = [
        (label.p_a, pair.human, pair.prompt_id)
        for pair in labeled
        if (label := annotations[pair.id]).p_a is not None and pair.human is not None
    ]
    if len(both) < calibration.FEWEST:
        raise DataError(
            f"{name}: {len(both)} of {len(labeled)} labeled pairs got a probability, expected {calibration.FEWEST} or more; an "
            "annotator that abstains on nearly everything cannot be measured"
        )
    return HeldOut(p_a=[p for p, _, _ in both], human=[h for _, h, _ in both], prompts=[key for _, _, key in both])


def fitted(method: Method, known: HeldOut, name: str) -> Calibrator:
    try:
        return calibration.fit(method, known.p_a, known.human)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from error


def calibrated(calibrator: Calibrator, annotations: Sequence[Annotation]) -> list[Annotation]:
    """The annotations with mapped probabilities; one that becomes exactly one half prefers nothing any more and abstains."""
    known = [each for each in annotations if each.p_a is not None]
    after = dict(
        zip(
            (each.pair_id for each in known),
            calibrator([each.p_a for each in known if each.p_a is not None]),
            strict=True,
        )
    )
    return [_mapped(each, after[each.pair_id]) if each.p_a is not None else each for each in annotations]


def _mapped(label: Annotation, p_a: float) -> Annotation:
    if p_a == 0.5:
        return replace(label, p_a=None, margin=None, status="abstained", note="no better than chance once calibrated")
    return replace(label, p_a=p_a)


def quality(method: Method, known: HeldOut, seed: int) -> dict[str, Any]:
    """How far probabilities are from what happens, before the map and after it, for the record and the audit.

    After is cross-fitted: each pair by the map that was fitted without the pairs of its fold.
    """
    after = calibration.cross_fitted(method, known.p_a, known.human, known.prompts, seed=seed)
    return {"before": _quality(known.p_a, known, seed), "after": _quality(after, known, seed)}


def _quality(p_a: Sequence[float], known: HeldOut, seed: int) -> dict[str, Any]:
    figures = {
        "brier": calibration.brier(p_a, known.human, clusters=known.prompts, seed=seed),
        "log_loss": calibration.log_loss(p_a, known.human, clusters=known.prompts, seed=seed),
        "calibration_error": calibration.equal_mass_error(p_a, known.human, bins=BINS),
    }
    curve = calibration.reliability(p_a, known.human, bins=BINS)
    return {
        **{name: asdict(figure) for name, figure in figures.items()},
        "reliability": [asdict(each) for each in curve],
    }
