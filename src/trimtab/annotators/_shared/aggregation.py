"""What several arms say of a pair, made one label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from trimtab.types import Annotation, Cost


def _require_distinct(arms: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((arm for place, arm in enumerate(arms) if arm in arms[:place]), None)
    if twice is not None:
        raise ValueError(f"the arm {twice!r} is named twice, and each has one voice")
    return arms


ArmNames = Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_require_distinct)]
CombineRule = Callable[[Sequence[Annotation]], float]


def combine_labels(
    labels: Mapping[str, Annotation], combine: CombineRule, detail: Mapping[str, Any] | None = None
) -> Annotation:
    """One label of a pair from those of several arms, with what these took together and each one's probability in `detail`.

    `combine` gives the probability that `a` is the better. The label abstains where that is exactly one half, and fails
    where an arm failed.
    """
    pair_id = next(iter(labels.values())).pair_id
    cost = sum((label.cost for label in labels.values()), Cost())
    told = {"arms": {arm: label.p_a for arm, label in labels.items()}, **(detail or {})}
    failed = [f"{arm}: {label.note}" for arm, label in labels.items() if label.status == "failed"]
    if failed:
        return Annotation(pair_id=pair_id, p_a=None, status="failed", note="; ".join(failed), cost=cost, detail=told)
    p_a = combine(list(labels.values()))
    if p_a == 0.5:
        return Annotation(pair_id=pair_id, p_a=None, status="abstained", note="tie", cost=cost, detail=told)
    return Annotation(pair_id=pair_id, p_a=p_a, cost=cost, detail=told)


def compute_mean_probability(labels: Sequence[Annotation]) -> float:
    """The mean of the probabilities; who abstains counts as one half."""
    return fmean(0.5 if label.p_a is None else label.p_a for label in labels)


def to_vote(label: Annotation) -> int:
    """1 for `a`, -1 for `b`, 0 where nothing is preferred."""
    return {"a": 1, "b": -1, None: 0}[label.choice]


def compute_vote_share(labels: Sequence[Annotation]) -> float:
    """The share of the votes that are for `a`; one half where nobody votes."""
    votes = [each for each in map(to_vote, labels) if each]
    return votes.count(1) / len(votes) if votes else 0.5
