"""Is an annotator worth its labels? Told from pairs that people labeled, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trimtab.audit.asked import Asked
from trimtab.audit.cost import Price, price
from trimtab.audit.figures import Honesty, Labels, Measured
from trimtab.audit.verdict import verdict
from trimtab.calibration import Bin
from trimtab.errors import DataError
from trimtab.filters._best_fraction import Kept
from trimtab.plan.audited import Audited, audited
from trimtab.protocols import Runtime
from trimtab.run import make
from trimtab.stages.held_out import FEWEST
from trimtab.stages.tables import annotations_of, pairs_of
from trimtab.store import Artifact, Store
from trimtab.types import Metric

Made = Mapping[str, Artifact]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found. `curve` is agreement by how many labeled pairs the annotator learned from, all of them last;
    `doubled` what the last doubling of them brought. Figures that were not asked for or cannot be are None or empty."""

    annotator: str
    learned_from: str
    n_pairs: int
    agreement: Metric
    chance: Metric
    rules: Mapping[str, Metric]
    better_rule: str
    lead: Metric
    strong: Metric | None
    order_flips: Metric | None
    before: Honesty
    after: Honesty
    by_length: Mapping[str, Metric]
    by_confidence: tuple[Bin, ...]
    kept: Kept
    by_share: Mapping[float, Metric]
    pool: Metric | None
    n_pool: int
    curve: Mapping[int, Metric] = field(default_factory=dict)
    doubled: Metric | None = None
    cost: Price
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Plain values; every figure is `{"value", "low", "high", "n", "n_failed"}`."""
        told = asdict(self)
        calibration = {"before": told.pop("before"), "after": told.pop("after")}
        rules = told.pop("rules")
        shares = [{"share": share, "accuracy": asdict(each)} for share, each in self.by_share.items()]
        curve = [{"labeled": n, "agreement": asdict(each)} for n, each in self.curve.items()]
        return {**told, **rules, "calibration": calibration, "by_share": shares, "curve": curve}


def audit(asked: Asked, folder: Path, runtime: Runtime, began: Callable[[int, int, str], None]) -> Audit:
    """Makes in `folder` what is not there yet, and counts. Run again after a kill, it goes on from where it stopped.

    Raises `StudyError` for settings that will not do, and `DataError` for fewer than 20 labeled pairs, for labels of one kind
    alone, and for an annotator that abstains on nearly everything.
    """
    store, split = Store(folder), asked.split()
    artifacts: dict[str, Artifact] = {}
    with store.hold():
        asked.fetch(runtime)
        make([split], store, runtime, artifacts, began)
        sides = artifacts[split.recipe.fingerprint]
        count = sides.record["facts"]["with_human"]["labeled"]
        if count < FEWEST:
            raise DataError(f"{asked.learned_from}: {count} labeled pairs, expected {FEWEST} or more")
        plan = audited(
            asked.study,
            split,
            fitted=asked.fit is not None,
            pool=asked.pool is not None,
            folds=asked.folds,
            sizes=asked.sizes(count),
            strong=asked.strong_pairs if asked.strong else 0,
        )
        make(plan.stages, store, runtime, artifacts, began)
    return _found(asked, plan, sides, artifacts)


def _found(asked: Asked, plan: Audited, split: Artifact, artifacts: Made) -> Audit:
    fitted, seed = asked.fit is not None, asked.study.seed
    pairs = [pair for pair in pairs_of(split, "unlabeled" if fitted else "labeled") if pair.human is not None]
    measured = Measured(pairs=pairs, labels=annotations_of(artifacts[plan.measured.recipe.fingerprint]))
    before, after = measured.honesty(asked.method, seed)
    pool = annotations_of(artifacts[plan.pool.recipe.fingerprint]) if plan.pool else {}
    prompts = {pair.id: pair.prompt_id for pair in pairs_of(split, "test" if fitted else "unlabeled")}
    rules = measured.rules()
    agreements = {name: measured.agreement(labels) for name, labels in rules.items()}
    better = max(agreements, key=lambda name: (agreements[name].value or 0.0, name))
    agreement, lead, (kept, by_share) = measured.agreement(), measured.lead(rules[better]), measured.kept()
    others = {size: annotations_of(artifacts[stage.recipe.fingerprint]) for size, stage in plan.curve.items()}
    total = asked.learned(split.record["facts"]["with_human"]["labeled"])
    return Audit(
        annotator=asked.kind,
        learned_from=asked.learned_from,
        n_pairs=len(pairs),
        agreement=agreement,
        chance=Metric(value=0.5, low=0.5, high=0.5, n=len(pairs), n_failed=0),
        rules=agreements,
        better_rule=better,
        lead=lead,
        strong=_strong(measured, plan, artifacts),
        order_flips=measured.order_flips(symmetric=getattr(asked.annotator, "SYMMETRIC", False)),
        before=before,
        after=after,
        by_length=measured.by_length(),
        by_confidence=before.reliability,
        kept=kept,
        by_share=by_share,
        pool=measured.on_pool(pool, prompts, asked.method, seed) if pool else None,
        n_pool=len(pool),
        curve={size: measured.agreement(labels) for size, labels in others.items()}
        | ({total: agreement} if others else {}),
        doubled=measured.lead(others[max(others)]) if others else None,
        cost=price(plan.measured, artifacts, measured.labels),
        verdict=verdict(asked.kind, agreement, better, lead, kept),
    )


def _strong(measured: Measured, plan: Audited, artifacts: Made) -> Metric | None:
    if plan.strong is None:
        return None
    labels: Labels = annotations_of(artifacts[plan.strong.recipe.fingerprint])
    return measured.agreement(labels, [pair for pair in measured.pairs if pair.id in labels])
