"""The stages of an audit: labels of pairs with human labels, by an annotator that was not trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.config.study import Study
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import sort_stages
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.annotate import LabelSplit
from trimtab.pipeline.stages.cross_fit import cv_fold_stage, subsample_stage

AUDITED_ARM, REFERENCE_ARM = "audited", "reference"


@dataclass(frozen=True, kw_only=True)
class AuditStages:
    """The stages of an audit.

    `labels` are the audited annotator's labels of the evaluated pairs, `pool_labels` those of the unlabeled pool.
    `learning_curve` has its labels of the evaluated pairs if trained on fewer pairs, by their number. `reference_labels` are
    the reference model's labels of some evaluated pairs.
    """

    labels: Stage
    pool_labels: Stage | None = None
    reference_labels: Stage | None = None
    learning_curve: Mapping[int, Stage] = field(default_factory=dict)

    @property
    def stages(self) -> list[Stage]:
        """All stages in topological order."""
        targets = (self.labels, self.pool_labels, *self.learning_curve.values(), self.reference_labels)
        return sort_stages(stage for stage in targets if stage is not None)


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
    """Plans an audit.

    With a train file, the annotator learns from the split's labeled pairs, its unlabeled pairs are evaluated, and the pool are
    its test pairs. Otherwise the labeled pairs are evaluated by cross-fitting in `folds` folds, and the pool are the unlabeled
    pairs. `curve_sizes` are numbers of labeled pairs, less than all, for the learning curve. The reference model labels
    `num_reference_pairs` of the evaluated pairs; 0 for none.
    """
    label_splits: list[LabelSplit] = ["unlabeled"] if has_train_file or has_pool else []
    label_splits += ["test"] if has_train_file and has_pool else []
    planner = LabelingPlanner(study, split, label_splits=label_splits)

    def plan_labels(size: int | None = None) -> Stage:
        if not has_train_file:
            return planner.out_of_fold_labels(AUDITED_ARM, folds, max_labeled=size)
        return planner.raw_labels(AUDITED_ARM) if size is None else _learning_curve_stage(planner, size, study.seed)

    sizes = curve_sizes if planner.depends_on_labeled_pairs(AUDITED_ARM) else ()
    return AuditStages(
        labels=plan_labels(),
        pool_labels=planner.raw_labels(AUDITED_ARM, split_name="test" if has_train_file else "unlabeled")
        if has_pool
        else None,
        reference_labels=_plan_reference(planner, num_reference_pairs, has_train_file) if num_reference_pairs else None,
        learning_curve={size: plan_labels(size) for size in sizes},
    )


def _plan_reference(planner: LabelingPlanner, num_pairs: int, has_train_file: bool) -> Stage:
    """The reference model's labels of some evaluated pairs."""
    study = planner.study
    evaluated = planner.split if has_train_file else cv_fold_stage(planner.split, 0, 1, study.seed)
    sample = subsample_stage(evaluated, {"unlabeled": num_pairs}, study.seed)
    return LabelingPlanner(study, sample, planner, ".reference").raw_labels(REFERENCE_ARM)


def _learning_curve_stage(planner: LabelingPlanner, size: int, seed: int) -> Stage:
    sample = subsample_stage(planner.split, {"labeled": size}, seed)
    return LabelingPlanner(planner.study, sample, planner, f".of-{size}").raw_labels(AUDITED_ARM)
