"""Probabilities that mean what they say: a map fitted on labels of labeled pairs that the annotator did not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from trimtab.config.calibration import Calibration
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.stats import calibration
from trimtab.stats.calibration import CalibrationMethod, Calibrator
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import ANNOTATION_SCHEMA, annotations_to_rows, load_annotations, load_split_pairs
from trimtab.types import Annotation, Choice, Pair

N_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFoldLabels:
    """Labels of labeled pairs by annotators that did not learn from them, and what people said; equally long."""

    p_a: list[float]
    human: list[Choice]
    prompt_ids: list[str]


def calibrate_stage(
    name: str, settings: Calibration, split: Stage, labels: Stage, out_of_fold: Stage, seed: int
) -> Stage:
    """The labels of an arm with calibrated probabilities; margins stay as they are."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        known = collect_out_of_fold_labels(
            load_split_pairs(inputs["split"], "labeled"), load_annotations(inputs["out_of_fold"]), name
        )
        calibrator = fit_calibrator(settings.method, known, name)
        before = list(load_annotations(inputs["labels"]).values())
        after = apply_calibrator(calibrator, before)
        if any(each.status == "ok" for each in before) and not any(each.status == "ok" for each in after):
            raise DataError(
                f"{name}: its labels are no better than chance on {len(known.human)} labeled pairs that it did not learn from, "
                "so none is left to train on"
            )
        draft.write_rows("annotations", annotations_to_rows(after), ANNOTATION_SCHEMA)
        return {"map": asdict(calibrator), **measure_calibration(settings.method, known, seed)}  # type: ignore[call-overload]

    return Stage(
        name=name,
        kind="calibrate",
        execute=make,
        settings={"calibration": identity_settings(settings), "seed": seed},
        input_stages={"split": split, "labels": labels, "out_of_fold": out_of_fold},
    )


def collect_out_of_fold_labels(
    labeled: Sequence[Pair], annotations: Mapping[str, Annotation], name: str
) -> OutOfFoldLabels:
    """Of the pairs that have a probability and a human label. Raises `DataError` for fewer than 20 of them."""
    both = [
        (label.p_a, pair.human, pair.prompt_id)
        for pair in labeled
        if (label := annotations[pair.id]).p_a is not None and pair.human is not None
    ]
    if len(both) < calibration.MIN_CALIBRATION_PAIRS:
        raise DataError(
            f"{name}: {len(both)} of {len(labeled)} labeled pairs got a probability, expected {calibration.MIN_CALIBRATION_PAIRS} or more; an "
            "annotator that abstains on nearly everything cannot be measured"
        )
    return OutOfFoldLabels(
        p_a=[p for p, _, _ in both], human=[h for _, h, _ in both], prompt_ids=[key for _, _, key in both]
    )


def fit_calibrator(method: CalibrationMethod, known: OutOfFoldLabels, name: str) -> Calibrator:
    try:
        return calibration.fit_calibration_map(method, known.p_a, known.human)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from error


def apply_calibrator(calibrator: Calibrator, annotations: Sequence[Annotation]) -> list[Annotation]:
    """The annotations with mapped probabilities; one that becomes exactly one half prefers nothing any more and abstains."""
    known = [each for each in annotations if each.p_a is not None]
    after = dict(
        zip(
            (each.pair_id for each in known),
            calibrator([each.p_a for each in known if each.p_a is not None]),
            strict=True,
        )
    )
    return [_replace_probability(each, after[each.pair_id]) if each.p_a is not None else each for each in annotations]


def _replace_probability(label: Annotation, p_a: float) -> Annotation:
    if p_a == 0.5:
        return replace(label, p_a=None, margin=None, status="abstained", note="no better than chance once calibrated")
    return replace(label, p_a=p_a)


def measure_calibration(method: CalibrationMethod, known: OutOfFoldLabels, seed: int) -> dict[str, Any]:
    """How far probabilities are from what happens, before the map and after it, for the record and the audit.

    After is cross-fitted: each pair by the map that was fitted without the pairs of its fold.
    """
    after = calibration.cross_fit_probabilities(method, known.p_a, known.human, known.prompt_ids, seed=seed)
    return {
        "before": _measure_probabilities(known.p_a, known, seed),
        "after": _measure_probabilities(after, known, seed),
    }


def _measure_probabilities(p_a: Sequence[float], known: OutOfFoldLabels, seed: int) -> dict[str, Any]:
    figures = {
        "brier": calibration.brier_score(p_a, known.human, clusters=known.prompt_ids, seed=seed),
        "log_loss": calibration.log_loss(p_a, known.human, clusters=known.prompt_ids, seed=seed),
        "calibration_error": calibration.equal_mass_calibration_error(p_a, known.human, bins=N_BINS),
    }
    curve = calibration.reliability_curve(p_a, known.human, bins=N_BINS)
    return {
        **{name: asdict(figure) for name, figure in figures.items()},
        "reliability": [asdict(each) for each in curve],
    }
