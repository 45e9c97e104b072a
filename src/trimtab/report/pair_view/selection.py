"""Selects the pairs of a run that are worth inspecting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.data.split import SPLIT_NAMES
from trimtab.report.pair_view.model import select_arms, unique_prefix_length
from trimtab.report.pair_view.search_tree import parse_search_tree
from trimtab.report.run_reader import Run
from trimtab.types import Annotation, Choice

# Annotators that repeat human labels. They do not count when arms are compared with each other.
_HUMAN_ANNOTATORS = ("Human", "NoisyHuman")
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestingPair:
    """A pair with each arm's `p_a` before filtering; arms that share labels share one key.

    `short_id` is a unique prefix of its id. `max_difference` in [0, 1] is the largest difference between two `p_a`.
    """

    short_id: str
    human: Choice | None
    p_a: Mapping[str, float]
    max_difference: float
    backtracks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestingPairs:
    """The pairs with the largest disagreement between labels, and those with the most search backtracks."""

    most_disagreement: tuple[InterestingPair, ...]
    most_backtracks: tuple[InterestingPair, ...]


def select_interesting_pairs(run: Run, arm: str | None = None) -> InterestingPairs:
    """Up to five unlabeled pairs of each type, from the labels of all arms, or of `arm` only.

    Arms are compared with each other; a single set of labels is compared with the human labels.
    """
    labels_by_arms = _labels_by_arms(run, arm)
    id_length = unique_prefix_length([pair.id for split in SPLIT_NAMES for pair in getattr(run, split)])
    candidates = []
    for pair in run.unlabeled:
        labels = {arms: table[pair.id] for arms, table in labels_by_arms.items()}
        p_a = {arms: label.p_a for arms, label in labels.items() if label.p_a is not None}
        human = [1.0 if pair.human == "a" else 0.0] if pair.human and len(labels_by_arms) < 2 else []
        probabilities = [*p_a.values(), *human]
        trees = [tree for label in labels.values() if (tree := parse_search_tree(label.detail)) is not None]
        candidates.append(
            InterestingPair(
                short_id=pair.id[:id_length],
                human=pair.human,
                p_a=p_a,
                max_difference=max(probabilities) - min(probabilities) if probabilities else 0.0,
                backtracks=max((tree.backtracks for tree in trees), default=0),
            )
        )
    disagreements = [pair for pair in candidates if pair.max_difference > 0]
    backtracked = [pair for pair in candidates if pair.backtracks]
    return InterestingPairs(
        most_disagreement=tuple(sorted(disagreements, key=_disagreement_key)[:_MAX_LISTED]),
        most_backtracks=tuple(sorted(backtracked, key=_backtrack_key)[:_MAX_LISTED]),
    )


def _labels_by_arms(run: Run, arm: str | None) -> dict[str, Mapping[str, Annotation]]:
    """Labels by pair id, keyed by the comma-separated arms that share them; human labels excluded."""
    arms_by_source: dict[str, list[str]] = {}
    for row in select_arms(run, arm):
        if row.labels and row.annotator not in _HUMAN_ANNOTATORS:
            arms_by_source.setdefault(run.source_stage(row.labels), []).append(row.name)
    return {", ".join(names): run.annotations(source) for source, names in arms_by_source.items()}


def _disagreement_key(pair: InterestingPair) -> tuple[float, str]:
    return -pair.max_difference, pair.short_id


def _backtrack_key(pair: InterestingPair) -> tuple[int, float, str]:
    return -pair.backtracks, -pair.max_difference, pair.short_id
