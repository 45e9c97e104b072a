"""Metrics of the criteria behind an arm's labels: what each of them alone would have preferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict

from trimtab import stats
from trimtab.metrics.label_quality import Labels, PromptIds, compute_agreement
from trimtab.types import Annotation, Choice, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCriterion:
    """How much one criterion of an annotator counts, and metrics of that criterion alone."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    weight: float
    metrics: Mapping[str, Metric] = field(default_factory=dict)


def summarize_label_criteria(
    labels: Labels, human: Mapping[str, Choice], prompt_ids: PromptIds
) -> dict[str, LabelCriterion]:
    """By criterion: its weight, its agreement with human labels, and how often its presentation orders contradict each other.

    If the criterion is a probe: how often it agrees with the strong model on labeled pairs that it was not fitted on. Empty if
    the annotator has no criteria. `human` are human labels of the same pairs, if there are any.
    """
    answers = {key: label.detail["criteria"] for key, label in labels.items() if "criteria" in label.detail}
    names = dict.fromkeys(name for each in answers.values() for name in each)
    by_name = {name: {key: each[name] for key, each in answers.items() if name in each} for name in names}
    return {name: _summarize_criterion(each, human, prompt_ids) for name, each in by_name.items()}


def _summarize_criterion(
    answers: Mapping[str, Mapping[str, Any]], human: Mapping[str, Choice], prompt_ids: PromptIds
) -> LabelCriterion:
    first = next(iter(answers.values()))
    metrics: dict[str, Metric] = {}
    if human:
        labels = {key: Annotation(pair_id=key, p_a=answer["p_a"]) for key, answer in answers.items()}
        metrics["agreement"] = compute_agreement(labels, human, prompt_ids)
    if "order_inconsistent" in first:
        flips = sum(answer["order_inconsistent"] for answer in answers.values())
        metrics["order_inconsistency"] = stats.proportion(flips, len(answers))
    if "held_out_pairs" in first:
        metrics["answer_agreement"] = stats.proportion(first["held_out_matches"], first["held_out_pairs"])
    return LabelCriterion(weight=first["weight"], metrics=metrics)
