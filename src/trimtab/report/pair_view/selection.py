"""Selects the pairs of a run that are worth inspecting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.data.split import SPLIT_NAMES
from trimtab.metrics.judge_quality import compute_majority_shares
from trimtab.report.pair_view.model import select_arms, unique_prefix_length
from trimtab.report.pair_view.search_tree import parse_search_tree
from trimtab.report.run_reader import Run
from trimtab.storage.verdict_schema import load_verdicts
from trimtab.types import Annotation, Choice

# Annotators that repeat human labels. They do not count when arms are compared with each other.
_HUMAN_ANNOTATORS = ("human", "noisy_human")
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestingPair:
    """A pair with each arm's `p_a` before filtering; arms that share labels share one key.

    `short_id` is a unique prefix of its id. `max_difference` in [0, 1] is the largest difference between two `p_a`.
    `gold_margin` is the gold reward of the response that the selected labels prefer minus that of the other one; None without
    a reward or a preference. `vote_share` is the fraction of a judge's repeated votes for the majority; None without votes.
    """

    short_id: str
    human: Choice | None
    p_a: Mapping[str, float]
    max_difference: float
    backtracks: int
    gold_margin: float | None = None
    vote_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestingPairs:
    """The pairs with the largest disagreement between labels, those with the most search backtracks, those on which labels
    differ from the human label and prefer the response with the higher gold reward (Tao & Li 2025, tables 3 and 9), and those
    on which a judge's votes are divided most (table 4).

    `compared_arms` are the arms whose labels are compared with the human labels, and `scorer` is the gold reward's.
    """

    most_disagreement: tuple[InterestingPair, ...]
    most_backtracks: tuple[InterestingPair, ...]
    higher_gold: tuple[InterestingPair, ...] = ()
    divided_votes: tuple[InterestingPair, ...] = ()
    compared_arms: str = ""
    scorer: str = ""
    judge: str = ""


def select_interesting_pairs(run: Run, arm: str | None = None) -> InterestingPairs:
    """Up to five unlabeled pairs of each type, from the labels of all arms, or of `arm` only.

    Arms are compared with each other; a single set of labels is compared with the human labels. Gold rewards are those of the
    first scorer, and the labels that they are compared with are those of `arm`, or else of `weak`, or else the first. Votes are
    those of the first judge that repeated its votes.
    """
    labels_by_arms = _labels_by_arms(run, arm)
    compared_arms = next(
        (arms for arms in labels_by_arms if "weak" in arms.split(", ")), next(iter(labels_by_arms), "")
    )
    scorer, rewards = next(iter(run.unlabeled_rewards.items()), ("", {}))
    judge, vote_shares = _load_vote_shares(run)
    id_length = unique_prefix_length([pair.id for split in SPLIT_NAMES for pair in getattr(run, split)])
    candidates: list[InterestingPair] = []
    higher_gold: list[InterestingPair] = []
    for pair in run.unlabeled:
        labels = {arms: table[pair.id] for arms, table in labels_by_arms.items()}
        p_a = {arms: label.p_a for arms, label in labels.items() if label.p_a is not None}
        human = [1.0 if pair.human == "a" else 0.0] if pair.human and len(labels_by_arms) < 2 else []
        probabilities = [*p_a.values(), *human]
        trees = [tree for label in labels.values() if (tree := parse_search_tree(label.detail)) is not None]
        choice = labels[compared_arms].choice if compared_arms else None
        candidate = InterestingPair(
            short_id=pair.id[:id_length],
            human=pair.human,
            p_a=p_a,
            max_difference=max(probabilities) - min(probabilities) if probabilities else 0.0,
            backtracks=max((tree.backtracks for tree in trees), default=0),
            gold_margin=_compute_gold_margin(rewards.get(pair.id), choice),
            vote_share=vote_shares.get(pair.id),
        )
        candidates.append(candidate)
        if pair.human and choice != pair.human and (candidate.gold_margin or 0) > 0:
            higher_gold.append(candidate)
    disagreements = [pair for pair in candidates if pair.max_difference > 0]
    backtracked = [pair for pair in candidates if pair.backtracks]
    divided = [pair for pair in candidates if (pair.vote_share or 1) < 1]
    return InterestingPairs(
        most_disagreement=tuple(sorted(disagreements, key=_disagreement_key)[:_MAX_LISTED]),
        most_backtracks=tuple(sorted(backtracked, key=_backtrack_key)[:_MAX_LISTED]),
        higher_gold=tuple(sorted(higher_gold, key=_gold_key)[:_MAX_LISTED]),
        divided_votes=tuple(sorted(divided, key=_vote_key)[:_MAX_LISTED]),
        compared_arms=compared_arms,
        scorer=scorer,
        judge=judge,
    )


def _compute_gold_margin(rewards: tuple[float, float] | None, choice: Choice | None) -> float | None:
    if rewards is None or choice is None:
        return None
    return (rewards[0] - rewards[1]) * (1 if choice == "a" else -1)


def _labels_by_arms(run: Run, arm: str | None) -> dict[str, Mapping[str, Annotation]]:
    """Labels by pair id, keyed by the comma-separated arms that share them; human labels excluded."""
    arms_by_source: dict[str, list[str]] = {}
    for row in select_arms(run, arm):
        if row.labels and row.annotator not in _HUMAN_ANNOTATORS:
            arms_by_source.setdefault(run.source_stage(row.labels), []).append(row.name)
    return {", ".join(names): run.annotations(source) for source, names in arms_by_source.items()}


def _load_vote_shares(run: Run) -> tuple[str, dict[str, float]]:
    """The first judge with repeated votes on unlabeled pairs, and its share of votes for the majority by pair id: the lower one
    if it was queried in both orders."""
    for judge, stage in run.index.unlabeled_verdicts.items():
        by_order = compute_majority_shares(load_verdicts(run.artifact(stage))) if run.is_finished(stage) else {}
        if by_order:
            shares: dict[str, float] = {}
            for key, share in by_order.items():
                pair_id = key.partition("/")[2]
                shares[pair_id] = min(share, shares.get(pair_id, 1.0))
            return judge, shares
    return "", {}


def _vote_key(pair: InterestingPair) -> tuple[float, str]:
    return pair.vote_share or 1.0, pair.short_id


def _disagreement_key(pair: InterestingPair) -> tuple[float, str]:
    return -pair.max_difference, pair.short_id


def _backtrack_key(pair: InterestingPair) -> tuple[int, float, str]:
    return -pair.backtracks, -pair.max_difference, pair.short_id


def _gold_key(pair: InterestingPair) -> tuple[float, str]:
    return -(pair.gold_margin or 0.0), pair.short_id
