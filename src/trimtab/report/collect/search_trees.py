"""Summaries of the search trees behind an annotator's labels, with sample trees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab import stats
from trimtab.report.pair_view.search_tree import SearchTree, parse_search_tree
from trimtab.types import Annotation, Choice, Metric, Pair, format_conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLevel:
    """One level of the trees: mean information of its nodes in bits, and the share of nodes kept."""

    level: int
    information: Metric
    retained_share: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSample:
    """A pair with its texts, its label before filtering, and its search tree."""

    pair_id: str
    prompt: str
    a: str
    b: str
    human: Choice | None
    p_a: float | None
    tree: SearchTree


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchInfo:
    """The search trees of one annotator. `arms` that differ only in their filters share them.

    `n` counts the trees of labels that did not fail. `metrics` cover depth, backtracking and which model decided.
    `depth_counts` is the number of trees by depth, `principle_shares` the share of trees with a principle on the path to
    the deciding node, in descending order.
    """

    arms: tuple[str, ...]
    n: int
    metrics: Mapping[str, Metric]
    depth_counts: Mapping[int, int]
    principle_shares: Mapping[str, Metric]
    levels: tuple[SearchLevel, ...]
    samples: tuple[TreeSample, ...] = field(default=())


def collect_search_info(
    arms: Sequence[str], annotations: Mapping[str, Annotation], pairs: Sequence[Pair], num_samples: int
) -> SearchInfo | None:
    """Summarizes the trees; includes the first `num_samples` trees in pair order.

    None if no label that succeeded has a tree.
    """
    succeeded = {pair_id: label for pair_id, label in annotations.items() if label.status != "failed"}
    parsed = {pair_id: parse_search_tree(label.detail) for pair_id, label in succeeded.items()}
    trees = {pair_id: tree for pair_id, tree in parsed.items() if tree is not None and tree.nodes}
    if not trees:
        return None
    n_failed = len(annotations) - len(succeeded)
    principle_counts = Counter(name for tree in trees.values() for name in tree.chain)
    depth_counts = Counter(tree.depth for tree in trees.values())
    samples = tuple(_tree_sample(pair, annotations[pair.id], trees[pair.id]) for pair in pairs if pair.id in trees)
    return SearchInfo(
        arms=tuple(arms),
        n=len(trees),
        metrics=_tree_metrics(list(trees.values()), n_failed),
        depth_counts={depth: depth_counts[depth] for depth in sorted(depth_counts)},
        principle_shares={
            name: stats.proportion(principle_counts[name], len(trees), n_failed)
            for name in sorted(principle_counts, key=lambda name: (-principle_counts[name], name))
        },
        levels=_level_metrics(trees),
        samples=samples[:num_samples],
    )


def _tree_metrics(trees: Sequence[SearchTree], n_failed: int) -> dict[str, Metric]:
    backtracks = [tree.backtracks for tree in trees]
    num_strong = sum(tree.decided_by == "strong" for tree in trees)
    return {
        "depth": stats.mean([float(tree.depth) for tree in trees], n_failed=n_failed),
        "backtracks": stats.mean([float(count) for count in backtracks], n_failed=n_failed),
        "backtrack_rate": stats.proportion(sum(count > 0 for count in backtracks), len(trees), n_failed),
        "strong_decision_rate": stats.proportion(num_strong, len(trees), n_failed),
    }


def _level_metrics(trees: Mapping[str, SearchTree]) -> tuple[SearchLevel, ...]:
    """Intervals cluster by tree, because the nodes of a tree are not independent."""
    nodes = [(pair_id, node) for pair_id, tree in trees.items() for node in tree.nodes]
    levels = []
    for level in sorted({node.level for _, node in nodes}):
        at_level = [(pair_id, node) for pair_id, node in nodes if node.level == level]
        information = [node.information for _, node in at_level]
        levels.append(
            SearchLevel(
                level=level,
                information=stats.mean(information, clusters=[pair_id for pair_id, _ in at_level]),
                retained_share=stats.proportion(sum(node.is_retained for _, node in at_level), len(at_level)),
            )
        )
    return tuple(levels)


def _tree_sample(pair: Pair, label: Annotation, tree: SearchTree) -> TreeSample:
    return TreeSample(
        pair_id=pair.id,
        prompt=format_conversation(pair.prompt),
        a=pair.a,
        b=pair.b,
        human=pair.human,
        p_a=label.p_a,
        tree=tree,
    )
