"""Which of a run's pairs are worth looking at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.report.pair_view.model import select_arms, unique_prefix_length
from trimtab.report.pair_view.search_tree import parse_search_tree
from trimtab.report.run_reader import SPLIT_NAMES, Run
from trimtab.types import Annotation, Choice

# Annotators that say what people said: arms that label themselves are compared with each other first.
_HUMAN_ANNOTATORS = ("Human", "Flip")
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestingPair:
    """A pair, shortened to what tells it from all others, with each arm's `p_a` before its filter; arms that share their
    labels stand under one name. `apart` in [0, 1] is the largest difference of two of them."""

    short_id: str
    human: Choice | None
    p_a: Mapping[str, float]
    max_difference: float
    backtracks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestingPairs:
    """The pairs on which labels are farthest apart, and those whose search went back most often."""

    most_disagreement: tuple[InterestingPair, ...]
    most_backtracks: tuple[InterestingPair, ...]


def select_interesting_pairs(run: Run, arm: str | None = None) -> InterestingPairs:
    """A handful of the unlabeled pairs of each kind, by every arm's labels or by those of `arm` and of people.

    Labels that repeat what people said count only where nothing else is there to differ from.
    """
    tables = _labels_by_arms(run, arm)
    length = unique_prefix_length([pair.id for side in SPLIT_NAMES for pair in getattr(run, side)])
    found = []
    for pair in run.unlabeled:
        labels = {name: table[pair.id] for name, table in tables.items()}
        p_a = {name: each.p_a for name, each in labels.items() if each.p_a is not None}
        people = {"people": 1.0 if pair.human == "a" else 0.0} if pair.human and len(tables) < 2 else {}
        told = [*p_a.values(), *people.values()]
        trees = [tree for each in labels.values() if (tree := parse_search_tree(each.detail)) is not None]
        backtracks = max((tree.backtracks for tree in trees), default=0)
        apart = max(told) - min(told) if told else 0.0
        found.append(
            InterestingPair(
                short_id=pair.id[:length], human=pair.human, p_a=p_a, max_difference=apart, backtracks=backtracks
            )
        )
    return InterestingPairs(
        most_disagreement=tuple(
            sorted((each for each in found if each.max_difference > 0), key=_disagreement_key)[:_MAX_LISTED]
        ),
        most_backtracks=tuple(sorted((each for each in found if each.backtracks), key=_backtrack_key)[:_MAX_LISTED]),
    )


def _labels_by_arms(run: Run, arm: str | None) -> dict[str, Mapping[str, Annotation]]:
    named: dict[str, list[str]] = {}
    for each in select_arms(run, arm):
        if each.labels and each.annotator not in _HUMAN_ANNOTATORS:
            named.setdefault(run.source_stage(each.labels), []).append(each.name)
    return {", ".join(names): run.annotations(source) for source, names in named.items()}


def _disagreement_key(each: InterestingPair) -> tuple[float, str]:
    return -each.max_difference, each.short_id


def _backtrack_key(each: InterestingPair) -> tuple[int, float, str]:
    return -each.backtracks, -each.max_difference, each.short_id
