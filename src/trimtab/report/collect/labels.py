"""Collects the metrics, histogram and cost of an arm's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from trimtab.metrics.label_criteria import summarize_label_criteria
from trimtab.metrics.label_quality import (
    Labels,
    compute_agreement,
    compute_confidence_error,
    compute_coverage,
    compute_kappa,
    compute_length_correlation,
    compute_prompting_metrics,
    get_human_choices,
)
from trimtab.report.collect.histogram import build_label_histogram
from trimtab.report.model import LabelInfo
from trimtab.types import Annotation, Cost, Metric, Pair


def build_label_info(
    arm: str,
    annotator: str,
    annotations: Mapping[str, Annotation],
    pairs: Sequence[Pair],
    seconds: float,
    source: str = "",
    unfiltered: Mapping[str, Annotation] | None = None,
) -> LabelInfo:
    """The coverage, human agreement, length correlation, prompting metrics and cost of labels.

    `pairs` are the labeled pairs, `seconds` is the labeling time, `source` the annotation stage. `unfiltered` are the labels
    before calibration and filtering, if they differ: human agreement is then reported for them as well.
    """
    human = get_human_choices(pairs)
    metrics = {"coverage": compute_coverage(annotations)}
    if human:
        metrics |= _human_agreement_metrics(annotations, pairs, unfiltered)
    metrics["length_correlation"] = compute_length_correlation(annotations, pairs)
    metrics |= compute_prompting_metrics(annotations)
    no_cost = Cost()
    cost = reduce(add, (label.cost for label in annotations.values() if label.cost != no_cost), no_cost)
    return LabelInfo(
        arm=arm,
        annotator=annotator,
        source=source,
        n_pairs=len(annotations),
        metrics=metrics,
        criteria=summarize_label_criteria(
            unfiltered or annotations, human, {pair.id: pair.prompt_id for pair in pairs}
        ),
        histogram=build_label_histogram({pair_id: label.p_a for pair_id, label in annotations.items()}, human),
        # Completions cached by another arm took no time in this stage.
        cost=replace(cost, seconds=max(seconds, cost.seconds)),
    )


def _human_agreement_metrics(labels: Labels, pairs: Sequence[Pair], unfiltered: Labels | None) -> dict[str, Metric]:
    human = get_human_choices(pairs)
    prompt_ids = {pair.id: pair.prompt_id for pair in pairs}
    metrics = {"agreement": compute_agreement(labels, human, prompt_ids)}
    if unfiltered is not None:
        metrics["agreement_before_filter"] = compute_agreement(unfiltered, human, prompt_ids)
    metrics["kappa"] = compute_kappa(labels, human, prompt_ids)
    metrics["calibration_error"] = compute_confidence_error(labels, human)
    return metrics
