"""What labels cost: seconds and tokens for a thousand of them, and the training before the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trimtab.pipeline.stage import TABLE_KINDS, TRAINING_KINDS, Stage
from trimtab.storage.artifacts import Artifact
from trimtab.types import Annotation, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelingCost:
    """Seconds as measured on this machine. `training_seconds` is once for all labels, of all folds together."""

    seconds_per_1000: Metric
    tokens_per_1000: Metric
    training_seconds: Metric


def compute_labeling_cost(
    labels: Stage, artifacts: Mapping[str, Artifact], found: Mapping[str, Annotation]
) -> LabelingCost:
    """Of the labels of a stage, from the records of the stages beneath it."""
    records = {
        stage.recipe.fingerprint: (stage.kind, artifacts[stage.recipe.fingerprint].record)
        for stage in _iter_upstream(labels)
    }
    n = len(found)
    a_pair = sum(
        float(record["seconds"]) / max(1, record["facts"]["pairs"])
        for kind, record in records.values()
        if kind in TABLE_KINDS
    )
    labeling = sum(float(record["seconds"]) for kind, record in records.values() if kind == "annotate") / max(1, n)
    asked = sum(each.cost.seconds for each in found.values()) / max(1, n)
    training = sum(float(record["seconds"]) for kind, record in records.values() if kind in TRAINING_KINDS)
    tokens = sum(each.cost.prompt_tokens + each.cost.generated_tokens for each in found.values()) / max(1, n)
    return LabelingCost(
        seconds_per_1000=_metric_without_interval(1000 * (a_pair + max(labeling, asked)), n),
        tokens_per_1000=_metric_without_interval(1000 * tokens, n),
        training_seconds=_metric_without_interval(training, n),
    )


def _metric_without_interval(value: float, n: int) -> Metric:
    return Metric(value=value, low=None, high=None, n=n, n_failed=0)


def _iter_upstream(stage: Stage) -> Iterator[Stage]:
    yield stage
    for need in stage.input_stages.values():
        yield from _iter_upstream(need)
