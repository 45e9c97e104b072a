"""The cost of labels: seconds and tokens per thousand, and seconds of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trimtab.pipeline.stage import Stage, StageRole
from trimtab.storage.artifacts import Artifact
from trimtab.types import Annotation, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelingCost:
    """Seconds as measured on this machine. `training_seconds` is the total over all folds."""

    seconds_per_1000: Metric
    tokens_per_1000: Metric
    training_seconds: Metric


def compute_labeling_cost(
    labels: Stage, artifacts: Mapping[str, Artifact], annotations: Mapping[str, Annotation]
) -> LabelingCost:
    """The cost of the labels of a stage, from the records of all stages it depends on. `artifacts` are by fingerprint."""
    records = {stage.fingerprint: (stage.role, artifacts[stage.fingerprint].record) for stage in _iter_upstream(labels)}
    n = len(annotations)
    table_seconds = sum(
        float(record["seconds"]) / max(1, record["facts"]["pairs"])
        for role, record in records.values()
        if role == "pair_table"
    )
    labeling_seconds = _sum_seconds(records.values(), "annotation") / max(1, n)
    engine_seconds = sum(label.cost.seconds for label in annotations.values()) / max(1, n)
    tokens = sum(label.cost.prompt_tokens + label.cost.generated_tokens for label in annotations.values()) / max(1, n)
    return LabelingCost(
        seconds_per_1000=_metric_without_interval(1000 * (table_seconds + max(labeling_seconds, engine_seconds)), n),
        tokens_per_1000=_metric_without_interval(1000 * tokens, n),
        training_seconds=_metric_without_interval(_sum_seconds(records.values(), "training"), n),
    )


def _sum_seconds(records: Iterable[tuple[StageRole, Mapping[str, Any]]], role: StageRole) -> float:
    return sum(float(record["seconds"]) for stage_role, record in records if stage_role == role)


def _metric_without_interval(value: float, n: int) -> Metric:
    return Metric(value=value, low=None, high=None, n=n, n_failed=0)


def _iter_upstream(stage: Stage) -> Iterator[Stage]:
    yield stage
    for source in stage.input_stages.values():
        yield from _iter_upstream(source)
