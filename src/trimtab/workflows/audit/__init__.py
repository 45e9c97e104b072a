"""Is an annotator worth its labels? Told from pairs that people labeled, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.metrics.label_quality import CalibrationMetrics, Labels
from trimtab.metrics.optimal_fraction import SelectedFraction
from trimtab.pipeline.executor import execute_stages
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

ArtifactsByFingerprint = Mapping[str, Artifact]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found. `curve` is agreement by how many labeled pairs the annotator learned from, all of them last;
    `doubled` what the last doubling of them brought. Figures that were not asked for or cannot be are None or empty."""

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
    by_kept_fraction: Mapping[float, Metric]
    unlabeled_accuracy: Metric | None
    n_unlabeled: int
    learning_curve: Mapping[int, Metric] = field(default_factory=dict)
    last_doubling: Metric | None = None
    cost: LabelingCost
    recommendation: str

    def to_json(self) -> dict[str, Any]:
        """Plain values; every figure is `{"value", "low", "high", "n", "n_failed"}`."""
        told = asdict(self)
        calibration = {"before": told.pop("before"), "after": told.pop("after")}
        rules = told.pop("rules")
        shares = [{"share": share, "accuracy": asdict(each)} for share, each in self.by_kept_fraction.items()]
        curve = [{"labeled": n, "agreement": asdict(each)} for n, each in self.learning_curve.items()]
        return {**told, **rules, "calibration": calibration, "by_share": shares, "curve": curve}


def run_audit(
    request: AuditRequest, folder: Path, runtime: Runtime, on_stage: Callable[[int, int, str], None]
) -> Audit:
    """Makes in `folder` what is not there yet, and counts. Run again after a kill, it goes on from where it stopped.

    Raises `StudyError` for settings that will not do, and `DataError` for fewer than 20 labeled pairs, for labels of one kind
    alone, and for an annotator that abstains on nearly everything.
    """
    store, split = Store(folder), request.build_split_stage()
    artifacts: dict[str, Artifact] = {}
    with store.lock():
        request.prefetch(runtime)
        execute_stages([split], store, runtime, artifacts, on_stage)
        sides = artifacts[split.recipe.fingerprint]
        count = sides.record["facts"]["with_human"]["labeled"]
        if count < MIN_CROSS_FIT_PAIRS:
            raise DataError(f"{request.training_source}: {count} labeled pairs, expected {MIN_CROSS_FIT_PAIRS} or more")
        plan = build_audit_stages(
            request.study,
            split,
            has_train_file=request.train_on is not None,
            has_pool=request.unlabeled is not None,
            folds=request.folds,
            curve_sizes=request.curve_sizes(count),
            num_reference_pairs=request.reference_pairs if request.reference_model else 0,
        )
        execute_stages(plan.stages, store, runtime, artifacts, on_stage)
    return _build_audit(request, plan, sides, artifacts)


def _build_audit(asked: AuditRequest, plan: AuditStages, split: Artifact, artifacts: ArtifactsByFingerprint) -> Audit:
    fitted, seed = asked.train_on is not None, asked.study.seed
    pairs = [pair for pair in load_split_pairs(split, "unlabeled" if fitted else "labeled") if pair.human is not None]
    measured = LabelEvaluation(pairs=pairs, labels=load_annotations(artifacts[plan.labels.recipe.fingerprint]))
    before, after = measured.calibration_metrics(asked.method, seed)
    pool = load_annotations(artifacts[plan.pool_labels.recipe.fingerprint]) if plan.pool_labels else {}
    prompts = {pair.id: pair.prompt_id for pair in load_split_pairs(split, "test" if fitted else "unlabeled")}
    rules = measured.length_baselines()
    agreements = {name: measured.compute_agreement(labels) for name, labels in rules.items()}
    better = max(agreements, key=lambda name: (agreements[name].value or 0.0, name))
    agreement, lead, (kept, by_share) = (
        measured.compute_agreement(),
        measured.improvement_over(rules[better]),
        measured.optimal_selection(),
    )
    others = {
        size: load_annotations(artifacts[stage.recipe.fingerprint]) for size, stage in plan.learning_curve.items()
    }
    total = asked.count_training_pairs(split.record["facts"]["with_human"]["labeled"])
    return Audit(
        annotator=asked.kind,
        training_source=asked.training_source,
        n_pairs=len(pairs),
        agreement=agreement,
        chance=Metric(value=0.5, low=0.5, high=0.5, n=len(pairs), n_failed=0),
        length_baselines=agreements,
        best_baseline=better,
        improvement=lead,
        reference_model=_reference_agreement(measured, plan, artifacts),
        order_inconsistency=measured.order_inconsistency(symmetric=getattr(asked.annotator, "SYMMETRIC", False)),
        before_calibration=before,
        after_calibration=after,
        by_length=measured.agreement_by_length(),
        by_confidence=before.reliability,
        optimal_selection=kept,
        by_kept_fraction=by_share,
        unlabeled_accuracy=measured.unlabeled_accuracy(pool, prompts, asked.method, seed) if pool else None,
        n_unlabeled=len(pool),
        learning_curve={size: measured.compute_agreement(labels) for size, labels in others.items()}
        | ({total: agreement} if others else {}),
        last_doubling=measured.improvement_over(others[max(others)]) if others else None,
        cost=compute_labeling_cost(plan.labels, artifacts, measured.labels),
        recommendation=build_recommendation(asked.kind, agreement, better, lead, kept),
    )


def _reference_agreement(
    measured: LabelEvaluation, plan: AuditStages, artifacts: ArtifactsByFingerprint
) -> Metric | None:
    if plan.reference_labels is None:
        return None
    labels: Labels = load_annotations(artifacts[plan.reference_labels.recipe.fingerprint])
    return measured.compute_agreement(labels, [pair for pair in measured.pairs if pair.id in labels])
