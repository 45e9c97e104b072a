"""Estimates the quality of an annotator's labels from pairs with human labels, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trimtab.core.plain_text import render_plain_text
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.metrics.label_quality import CalibrationMetrics
from trimtab.metrics.optimal_fraction import SelectedFraction
from trimtab.pipeline.preflight import preflight_components
from trimtab.pipeline.stage_scheduler import execute_stages
from trimtab.pipeline.stages.cross_fit import MIN_CROSS_FIT_PAIRS
from trimtab.stats.calibration import ReliabilityBin
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.types import Metric
from trimtab.workflows.audit.cost import LabelingCost, compute_labeling_cost
from trimtab.workflows.audit.evaluation import LabelEvaluation
from trimtab.workflows.audit.plan import AuditStages, build_audit_stages
from trimtab.workflows.audit.recommendation import build_recommendation
from trimtab.workflows.audit.request import AuditRequest
from trimtab.workflows.audit.worth_forecast import WorthForecast, build_worth_forecast

ArtifactsByFingerprint = Mapping[str, Artifact]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The result of an audit. Metrics that were not requested or cannot be computed are None or empty.

    `improvement` is the annotator's accuracy minus that of `best_baseline`, one of the two length baselines.
    `certified_shares` has, by accuracy, the share of the labels that the filter `certified` would keep at 95% confidence.
    `worth_forecast` is a forecast of the number of human labels that the labels are worth.
    `learning_curve` is agreement by the number of labeled pairs used for training, all of them last; `last_doubling` is the
    gain from the last doubling.
    """

    annotator: str
    training_source: str
    n_pairs: int
    agreement: Metric
    chance: Metric
    length_baselines: Mapping[str, Metric]
    best_baseline: str
    improvement: Metric
    reference_model: Metric | None
    order_inconsistency: Metric | None
    before_calibration: CalibrationMetrics
    after_calibration: CalibrationMetrics
    by_length: Mapping[str, Metric]
    by_confidence: tuple[ReliabilityBin, ...]
    optimal_selection: SelectedFraction
    by_retained_fraction: Mapping[float, Metric]
    certified_shares: Mapping[float, float]
    worth_forecast: WorthForecast
    unlabeled_accuracy: Metric | None
    n_unlabeled: int
    learning_curve: Mapping[int, Metric] = field(default_factory=dict)
    last_doubling: Metric | None = None
    cost: LabelingCost
    recommendation: str

    @property
    def has_equal_confidences(self) -> bool:
        """Whether the most confident labels cannot be selected, because all accuracies by fraction are of the same labels."""
        return len(set(self.by_retained_fraction.values())) <= 1

    def to_json(self) -> dict[str, Any]:
        """Converts to JSON-compatible values; every metric is `{"value", "low", "high", "n", "n_failed"}`."""
        document = asdict(self)
        before, after = document.pop("before_calibration"), document.pop("after_calibration")
        return {
            **document,
            "calibration": {"before": before, "after": after},
            "by_retained_fraction": [
                {"fraction": fraction, "accuracy": asdict(accuracy)}
                for fraction, accuracy in self.by_retained_fraction.items()
            ],
            "certified_shares": [
                {"accuracy": accuracy, "share": share} for accuracy, share in self.certified_shares.items()
            ],
            "learning_curve": [
                {"num_labeled": n, "agreement": asdict(agreement)} for n, agreement in self.learning_curve.items()
            ],
        }

    def __str__(self) -> str:
        """The tables that `trimtab audit` prints, as plain text."""
        from trimtab.workflows.audit.terminal import render_audit  # noqa: PLC0415 - it imports this module

        return render_plain_text(render_audit(self))


def run_audit(
    request: AuditRequest, folder: Path, runtime: Runtime, on_stage: Callable[[int, int, str], None]
) -> Audit:
    """Runs the missing stages in `folder` and computes the metrics. Run again to resume after a kill.

    Raises `StudyError` for invalid settings, and `EngineError` if an engine is not usable. Raises `DataError` for fewer than 20
    labeled pairs, if all human labels are the same, if the annotator failed on both trial pairs, and if it abstains on nearly
    all pairs.
    """
    store, split_stage = Store(folder), request.build_split_stage()
    artifacts: dict[str, Artifact] = {}
    with store.lock():
        request.prefetch(runtime)
        execute_stages([split_stage], store, runtime, artifacts, on_stage)
        split = artifacts[split_stage.fingerprint]
        count = _count_labeled(split)
        if count < MIN_CROSS_FIT_PAIRS:
            raise DataError(f"{request.training_source}: {count} labeled pairs, expected {MIN_CROSS_FIT_PAIRS} or more")
        plan = build_audit_stages(
            request.study,
            split_stage,
            has_train_file=request.train_on is not None,
            has_pool=request.unlabeled is not None,
            folds=request.folds,
            curve_sizes=request.curve_sizes(count),
            num_reference_pairs=request.reference_pairs if request.reference_model else 0,
        )
        preflight_components(request.list_components(), plan.stages, store, runtime)
        execute_stages(plan.stages, store, runtime, artifacts, on_stage)
    return _build_audit(request, plan, split, artifacts)


def _build_audit(request: AuditRequest, plan: AuditStages, split: Artifact, artifacts: ArtifactsByFingerprint) -> Audit:
    has_train_file, seed = request.train_on is not None, request.study.seed
    pairs = load_split_pairs(split, "unlabeled" if has_train_file else "labeled")
    pairs = [pair for pair in pairs if pair.human is not None]
    evaluation = LabelEvaluation(pairs=pairs, labels=load_annotations(artifacts[plan.labels.fingerprint]))
    before, after = evaluation.calibration_metrics(request.method, seed)
    pool = load_annotations(artifacts[plan.pool_labels.fingerprint]) if plan.pool_labels else {}
    pool_prompts = {
        pair.id: pair.prompt_id for pair in load_split_pairs(split, "test" if has_train_file else "unlabeled")
    }
    baselines, labeled_pairs = evaluation.length_baselines(), evaluation.labeled_pairs
    baseline_agreements = {
        name: evaluation.compute_agreement(labels, labeled_pairs) for name, labels in baselines.items()
    }
    best = max(baseline_agreements, key=lambda name: (baseline_agreements[name].value or 0.0, name))
    agreement, improvement = evaluation.compute_agreement(), evaluation.improvement_over(baselines[best])
    selection, by_retained_fraction = evaluation.optimal_selection()
    smaller = {size: load_annotations(artifacts[stage.fingerprint]) for size, stage in plan.learning_curve.items()}
    curve = {size: evaluation.compute_agreement(labels) for size, labels in smaller.items()}
    total = request.count_training_pairs(_count_labeled(split))
    return Audit(
        annotator=request.kind,
        training_source=request.training_source,
        n_pairs=len(pairs),
        agreement=agreement,
        chance=Metric(value=0.5, low=0.5, high=0.5, n=len(pairs), n_failed=0),
        length_baselines=baseline_agreements,
        best_baseline=best,
        improvement=improvement,
        reference_model=_reference_agreement(evaluation, plan, artifacts),
        order_inconsistency=evaluation.order_inconsistency(symmetric=getattr(request.annotator, "SYMMETRIC", False)),
        before_calibration=before,
        after_calibration=after,
        by_length=evaluation.agreement_by_length(),
        by_confidence=before.reliability,
        optimal_selection=selection,
        by_retained_fraction=by_retained_fraction,
        certified_shares=evaluation.certified_shares(pool),
        worth_forecast=build_worth_forecast(evaluation, pool, selection, request.method, seed),
        unlabeled_accuracy=evaluation.unlabeled_accuracy(pool, pool_prompts, request.method, seed) if pool else None,
        n_unlabeled=len(pool),
        learning_curve={**curve, total: agreement} if curve else {},
        last_doubling=evaluation.improvement_over(smaller[max(smaller)]) if smaller else None,
        cost=compute_labeling_cost(plan.labels, artifacts, evaluation.labels),
        recommendation=build_recommendation(request.kind, agreement, best, improvement, selection),
    )


def _count_labeled(split: Artifact) -> int:
    return int(split.record["facts"]["human_labeled"]["labeled"])


def _reference_agreement(
    evaluation: LabelEvaluation, plan: AuditStages, artifacts: ArtifactsByFingerprint
) -> Metric | None:
    if plan.reference_labels is None:
        return None
    labels = load_annotations(artifacts[plan.reference_labels.fingerprint])
    return evaluation.compute_agreement(labels, [pair for pair in evaluation.pairs if pair.id in labels])
