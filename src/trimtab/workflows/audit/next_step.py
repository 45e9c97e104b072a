"""What to do after an audit: the command that follows from its recommendation."""

from __future__ import annotations

import shlex

from trimtab.metrics.optimal_fraction import SelectedFraction
from trimtab.pipeline.stages.annotate import as_annotator
from trimtab.types import Metric
from trimtab.workflows.audit.recommendation import NEARLY_ALL, find_objection
from trimtab.workflows.audit.request import AuditRequest


def build_next_step(
    request: AuditRequest, agreement: Metric, baseline: str, improvement: Metric, selection: SelectedFraction
) -> str:
    """One line, starting with `next: `. The metrics are those of `build_recommendation`.

    An annotator that learns from a file can label a pool with `trimtab annotate`. The models of the others exist only in a
    study.
    """
    if find_objection(request.kind, "", agreement, baseline, improvement):
        return "next: audit another annotator (`trimtab list annotators`), or label more pairs."
    same_data = ", with the same --data" if request.data_settings else ""
    if not as_annotator(request.annotator).requirements().learns:
        return f"next: trimtab new study.yaml {shlex.quote(str(request.labeled))}{same_data}, and make it an arm of the study."
    kept = f" --filter '{{kind: uncertainty, fraction: {selection.fraction:.2f}}}'"
    kept = kept if selection.fraction < NEARLY_ALL else ""
    train_on = shlex.quote(request.training_source)
    return f"next: trimtab annotate POOL --annotator {request.kind} --train-on {train_on}{kept}{same_data}"
