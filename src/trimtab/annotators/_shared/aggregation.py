"""Combines the labels of several arms into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from trimtab.types import Annotation, Cost


def _require_distinct(arms: tuple[str, ...]) -> tuple[str, ...]:
    duplicate = next((arm for index, arm in enumerate(arms) if arm in arms[:index]), None)
    if duplicate is not None:
        raise ValueError(f"arm {duplicate!r} is listed twice; list each arm once")
    return arms


ArmNames = Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_require_distinct)]
CombineRule = Callable[[Sequence[Annotation]], float]


def combine_labels(
    labels: Mapping[str, Annotation], combine: CombineRule, detail: Mapping[str, Any] | None = None
) -> Annotation:
    """Combines the labels of several arms into one label, with their total cost and, in `detail`, each arm's probability.

    `combine` returns the probability that `a` is better. The label abstains if it is exactly 1/2, and fails if an arm failed.
    """
    pair_id = next(iter(labels.values())).pair_id
    cost = sum((label.cost for label in labels.values()), Cost())
    detail = {"arms": {arm: label.p_a for arm, label in labels.items()}, **(detail or {})}
    errors = [f"{arm}: {label.note}" for arm, label in labels.items() if label.status == "failed"]
    if errors:
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note="; ".join(errors), cost=cost, detail=detail)
    p_a = combine(list(labels.values()))
    if p_a == 0.5:
        return Annotation(pair_id=pair_id, p_a=None, status="abstained", note="tie", cost=cost, detail=detail)
    return Annotation(pair_id=pair_id, p_a=p_a, cost=cost, detail=detail)


def compute_mean_probability(labels: Sequence[Annotation]) -> float:
    """The mean of the probabilities; an abstention counts as 1/2."""
    return fmean(0.5 if label.p_a is None else label.p_a for label in labels)


def to_vote(label: Annotation) -> int:
    """1 for `a`, -1 for `b`, 0 if neither is preferred."""
    return {"a": 1, "b": -1, None: 0}[label.choice]


def compute_vote_share(labels: Sequence[Annotation]) -> float:
    """The share of votes for `a`; 1/2 without votes."""
    votes = [vote for vote in map(to_vote, labels) if vote]
    return votes.count(1) / len(votes) if votes else 0.5
