"""Calibrates label probabilities with a map fitted on out-of-fold labels of the labeled pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from trimtab.config.calibration import Calibration
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, NoLabelsError
from trimtab.metrics.label_quality import compute_calibration_metrics
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.stats import calibration
from trimtab.stats.calibration import CalibrationMethod, Calibrator
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import ANNOTATION_SCHEMA, annotations_to_rows, load_annotations, load_split_pairs
from trimtab.types import Annotation, Choice, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFoldLabels:
    """Probabilities of annotators that were not trained on the pair, human labels and prompt ids; lists of equal length."""

    p_a: list[float]
    human: list[Choice]
    prompt_ids: list[str]


def calibrate_stage(
    name: str, settings: Calibration, split: Stage, labels: Stage, out_of_fold: Stage, seed: int
) -> Stage:
    """The labels of an arm with calibrated probabilities. Margins are unchanged."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        del runtime
        labeled_pairs = load_split_pairs(inputs["split"], "labeled")
        fit_data = collect_out_of_fold_labels(labeled_pairs, load_annotations(inputs["out_of_fold"]), name)
        calibrator = fit_calibrator(settings.method, fit_data, name)
        before = list(load_annotations(inputs["labels"]).values())
        after = apply_calibrator(calibrator, before)
        if any(label.status == "ok" for label in before) and not any(label.status == "ok" for label in after):
            raise NoLabelsError(
                f"{name}: its labels are no better than chance on {len(fit_data.human)} labeled pairs that it was not trained "
                "on, so no label is left to train on"
            )
        draft.write_rows("annotations", annotations_to_rows(after), ANNOTATION_SCHEMA)
        parameters = asdict(calibrator)  # type: ignore[call-overload]
        return {"calibrator": parameters, **measure_calibration(settings.method, fit_data, seed)}

    return Stage(
        name=name,
        kind="calibrate",
        role="label_transform",
        execute=execute,
        settings={"calibration": identity_settings(settings), "seed": seed},
        input_stages={"split": split, "labels": labels, "out_of_fold": out_of_fold},
    )


def collect_out_of_fold_labels(
    labeled_pairs: Sequence[Pair], annotations: Mapping[str, Annotation], name: str
) -> OutOfFoldLabels:
    """The labels of pairs that have both a probability and a human label. Raises `DataError` for fewer than 20 of them."""
    usable = [
        (label.p_a, pair.human, pair.prompt_id)
        for pair in labeled_pairs
        if (label := annotations[pair.id]).p_a is not None and pair.human is not None
    ]
    if len(usable) < calibration.MIN_CALIBRATION_PAIRS:
        raise DataError(
            f"{name}: {len(usable)} of {len(labeled_pairs)} labeled pairs got a probability, expected "
            f"{calibration.MIN_CALIBRATION_PAIRS} or more; an annotator that abstains on nearly every pair cannot be evaluated"
        )
    return OutOfFoldLabels(
        p_a=[p_a for p_a, _, _ in usable],
        human=[human for _, human, _ in usable],
        prompt_ids=[prompt_id for _, _, prompt_id in usable],
    )


def fit_calibrator(method: CalibrationMethod, fit_data: OutOfFoldLabels, name: str) -> Calibrator:
    try:
        return calibration.fit_calibration_map(method, fit_data.p_a, fit_data.human)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from error


def apply_calibrator(calibrator: Calibrator, annotations: Sequence[Annotation]) -> list[Annotation]:
    """The annotations with calibrated probabilities. A probability of exactly one half becomes an abstention."""
    labeled = [(label.pair_id, label.p_a) for label in annotations if label.p_a is not None]
    calibrated = dict(zip((pair_id for pair_id, _ in labeled), calibrator([p_a for _, p_a in labeled]), strict=True))
    return [
        label if label.p_a is None else _replace_probability(label, calibrated[label.pair_id]) for label in annotations
    ]


def _replace_probability(label: Annotation, p_a: float) -> Annotation:
    if p_a == 0.5:
        return replace(label, p_a=None, margin=None, status="abstained", note="no better than chance once calibrated")
    return replace(label, p_a=p_a)


def measure_calibration(method: CalibrationMethod, fit_data: OutOfFoldLabels, seed: int) -> dict[str, Any]:
    """Calibration metrics before and after, for the record and the audit.

    "After" is cross-fitted: each pair is mapped by a calibrator that was fitted without the pair's fold.
    """
    after = calibration.cross_fit_probabilities(method, fit_data.p_a, fit_data.human, fit_data.prompt_ids, seed=seed)
    return {
        "before": _measure_probabilities(fit_data.p_a, fit_data, seed),
        "after": _measure_probabilities(after, fit_data, seed),
    }


def _measure_probabilities(p_a: Sequence[float], fit_data: OutOfFoldLabels, seed: int) -> dict[str, Any]:
    return asdict(compute_calibration_metrics(p_a, fit_data.human, fit_data.prompt_ids, seed))
