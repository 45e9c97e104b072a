"""The stages of an audit: labels of pairs that people labeled, by an annotator that did not learn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.config.study import Study
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import sort_stages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.cross_fit import cv_fold_stage, subsample_stage

AUDITED_ARM, REFERENCE_ARM = "audited", "strong"


@dataclass(frozen=True, kw_only=True)
class AuditStages:
    """`measured` and `pool` are the audited annotator's labels, `curve` those that it gives the measured pairs where it learned
    from fewer, by how many. `strong` are the strong model's of some measured pairs."""

    labels: Stage
    pool_labels: Stage | None = None
    reference_labels: Stage | None = None
    learning_curve: Mapping[int, Stage] = field(default_factory=dict)

    @property
    def stages(self) -> list[Stage]:
        wanted = (self.labels, self.pool_labels, *self.learning_curve.values(), self.reference_labels)
        return sort_stages(stage for stage in wanted if stage is not None)


def build_audit_stages(
    study: Study,
    split: Stage,
    *,
    has_train_file: bool,
    has_pool: bool,
    folds: int,
    curve_sizes: Sequence[int],
    num_reference_pairs: int,
) -> AuditStages:
    """`fitted`: the annotator learns from the labeled side and the unlabeled side is measured, the pool being the test side.
    Otherwise the labeled side is measured by cross-fitting in so many folds, and the unlabeled side is the pool.

    `sizes` are the points of the learning curve below all labeled pairs; `strong` is how many measured pairs the strong model
    is asked of, 0 for none.
    """
    sides = (["unlabeled"] if has_train_file or has_pool else []) + (["test"] if has_train_file and has_pool else [])
    labels = LabelingPlanner(study, split, label_splits=sides)  # type: ignore[arg-type]
    measured = labels.raw_labels(AUDITED_ARM) if has_train_file else labels.out_of_fold_labels(AUDITED_ARM, folds)
    curve = {}
    if labels.depends_on_labeled_pairs(AUDITED_ARM):
        curve = {
            size: _learning_curve_stage(labels, size, study.seed)
            if has_train_file
            else labels.out_of_fold_labels(AUDITED_ARM, folds, max_labeled=size)
            for size in curve_sizes
        }
    whole = split if has_train_file else cv_fold_stage(split, 0, 1, study.seed)
    asked = LabelingPlanner(
        study, subsample_stage(whole, {"unlabeled": num_reference_pairs}, study.seed), labels, ".strong"
    )
    return AuditStages(
        labels=measured,
        pool_labels=labels.raw_labels(AUDITED_ARM, split_name="test" if has_train_file else "unlabeled")
        if has_pool
        else None,
        reference_labels=asked.raw_labels(REFERENCE_ARM) if num_reference_pairs else None,
        learning_curve=curve,
    )


def _learning_curve_stage(labels: LabelingPlanner, size: int, seed: int) -> Stage:
    part = subsample_stage(labels.split, {"labeled": size}, seed)
    return LabelingPlanner(labels.study, part, labels, f".of-{size}").raw_labels(AUDITED_ARM)
