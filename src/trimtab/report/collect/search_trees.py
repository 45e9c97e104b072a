"""What the search trees of an annotator's labels have in common, and some of them whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trimtab import stats
from trimtab.report.pair_view.search_tree import SearchNode, SearchTree, parse_search_tree
from trimtab.types import Annotation, Choice, Metric, Pair, format_conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLevel:
    """One level of the trees: the mean information of the nodes that were made there, in bits, and how many of them stay."""

    level: int
    information: Metric
    kept_share: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSample:
    """A pair with its texts, its label before any filter, and the tree that led to it."""

    pair_id: str
    prompt: str
    a: str
    b: str
    human: Choice | None
    p_a: float | None
    tree: SearchTree


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchInfo:
    """The trees of one annotator, which serve all of `arms`: those that differ in their filters alone share them.

    `n` trees are counted, those of labels that did not fail. `figures` are depth, backtracks and who decided; `depths` says
    how many trees have each depth; `principles` gives the share of trees that have it on the kept path, the most used first.
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
    """None where no label that is good has a tree. The first `samples` trees, in the order of the pairs, come whole."""
    found = {key: parse_search_tree(each.detail) for key, each in annotations.items() if each.status != "failed"}
    trees = {key: tree for key, tree in found.items() if tree is not None and tree.nodes}
    if not trees:
        return None
    failed = sum(each.status == "failed" for each in annotations.values())
    used = Counter(name for tree in trees.values() for name in tree.chain)
    depths = Counter(tree.depth for tree in trees.values())
    return SearchInfo(
        arms=tuple(arms),
        n=len(trees),
        metrics=_tree_metrics(list(trees.values()), failed),
        depth_counts={depth: depths[depth] for depth in sorted(depths)},
        principle_shares={
            name: stats.proportion(used[name], len(trees), failed)
            for name in sorted(used, key=lambda each: (-used[each], each))
        },
        levels=_level_metrics(trees),
        samples=tuple(_tree_sample(pair, annotations[pair.id], trees[pair.id]) for pair in pairs if pair.id in trees)[
            :num_samples
        ],
    )


def search_info_to_json(info: SearchInfo) -> dict[str, Any]:
    """As JSON holds it."""
    return {**asdict(info), "depths": {str(depth): count for depth, count in info.depth_counts.items()}}


def search_info_from_json(document: Mapping[str, Any]) -> SearchInfo:
    """What `plain` gave. Raises `KeyError` or `TypeError` where a part is missing or of another kind."""
    return SearchInfo(
        arms=tuple(document["arms"]),
        n=document["n"],
        metrics=_metrics_from_json(document["figures"]),
        depth_counts={int(depth): count for depth, count in document["depths"].items()},
        principle_shares=_metrics_from_json(document["principles"]),
        levels=tuple(
            SearchLevel(
                level=each["level"], information=Metric(**each["information"]), kept_share=Metric(**each["kept"])
            )
            for each in document["levels"]
        ),
        samples=tuple(TreeSample(**{**each, "tree": _tree_from_json(each["tree"])}) for each in document["samples"]),
    )


def _tree_metrics(trees: Sequence[SearchTree], failed: int) -> dict[str, Metric]:
    backtracks = [tree.backtracks for tree in trees]
    return {
        "depth": stats.mean([float(tree.depth) for tree in trees], n_failed=failed),
        "backtracks": stats.mean([float(count) for count in backtracks], n_failed=failed),
        "backtracked": stats.proportion(sum(count > 0 for count in backtracks), len(trees), failed),
        "strong_decided": stats.proportion(sum(tree.decided_by == "strong" for tree in trees), len(trees), failed),
    }


def _level_metrics(trees: Mapping[str, SearchTree]) -> tuple[SearchLevel, ...]:
    """The nodes of one tree are not independent: its intervals draw whole trees."""
    nodes = [(key, node) for key, tree in trees.items() for node in tree.nodes]
    found = []
    for level in sorted({node.level for _, node in nodes}):
        here = [(key, node) for key, node in nodes if node.level == level]
        information = [node.information for _, node in here]
        found.append(
            SearchLevel(
                level=level,
                information=stats.mean(information, clusters=[key for key, _ in here]),
                kept_share=stats.proportion(sum(node.is_kept for _, node in here), len(here)),
            )
        )
    return tuple(found)


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


def _tree_from_json(document: Mapping[str, Any]) -> SearchTree:
    nodes = tuple(
        SearchNode(**{**each, "chain": tuple(each["chain"]), "thought": tuple(each["thought"])})
        for each in document["nodes"]
    )
    return SearchTree(**{**document, "nodes": nodes})


def _metrics_from_json(document: Mapping[str, Any]) -> dict[str, Metric]:
    return {name: Metric(**figure) for name, figure in document.items()}
