"""The stages between an arm's annotator and its student: calibration and filtering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trimtab.config.study import Arm, Study
from trimtab.core.component import get_kind
from trimtab.errors import StudyError
from trimtab.pipeline.plan.filter_checks import require_suitable_filter
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.calibrate import calibrate_stage
from trimtab.pipeline.stages.filter import as_filter, filter_stage


class LabelPlanner(Protocol):
    """Plans the labels of the unlabeled pairs of `split`."""

    @property
    def study(self) -> Study: ...

    @property
    def split(self) -> Stage: ...

    @property
    def name_suffix(self) -> str: ...

    @property
    def arms(self) -> Mapping[str, Arm]: ...

    def final_labels(self, name: str, requested_by: tuple[str, ...] = ()) -> Stage: ...

    def out_of_fold_labels(self, name: str, folds: int) -> Stage: ...


def transform_labels(planner: LabelPlanner, name: str, labels: Stage, requested_by: tuple[str, ...]) -> Stage:
    """Calibrates and filters the labels of an arm if it requests it. `requested_by` are the arms that need this arm."""
    arm, suffix = planner.arms[name], f"{name}{planner.name_suffix}"
    if arm.calibration is not None:
        out_of_fold = planner.out_of_fold_labels(name, arm.calibration.folds)
        labels = calibrate_stage(
            f"calibrate.{suffix}", arm.calibration, planner.split, labels, out_of_fold, planner.study.seed
        )
    if arm.filter is not None:
        needs = as_filter(arm.filter).requirements()
        require_suitable_filter(f"arms.{name}.filter", arm.filter, arm.annotator)
        if needs.uncalibrated and arm.calibration is not None:
            raise StudyError(
                f"arms.{name}: {get_kind(arm.filter)} needs the annotator's own probabilities; remove calibration"
            )
        other_labels = {other: planner.final_labels(other, (*requested_by, name)) for other in needs.arms}
        fit_labels = planner.out_of_fold_labels(name, needs.cross_fit_folds) if needs.cross_fit_folds else None
        labels = filter_stage(f"filter.{suffix}", arm.filter, planner.split, labels, other_labels, fit_labels)
    return labels
