"""SEAM's search tree of one pair: nodes, information, backtracking, pruning, and which model labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Labeler = Literal["weak", "strong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A chain of principles, the thought about them, and its information (c, t and i in Li et al. 2025).

    `p_first` is the strong model's probability that the first response is better, given the thought; `information` in
    [0, 1] bits is computed from it. `weight` is the weight of the edge to this node. An `empty` thought has information 0
    and no `p_first`. `truncated`: the thought reached the token limit.
    """

    chain: tuple[str, ...]
    thought: tuple[str, ...]
    information: float
    p_first: float | None = None
    weight: float = 1.0
    empty: bool = False
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """Limits of the search. `retries`: how often a level may be retried after a node with less information than its parent.

    `allow_reused_principles`: a principle that was backtracked from is a candidate again at deeper levels (it is still in P
    without c(n)). `early_stop`: stop below a node without gain, since everything there would be pruned.
    """

    max_depth: int
    retries: int
    allow_reused_principles: bool
    early_stop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """State of a tree: the current path, all nodes in order of creation, and the principles tried at this level.

    `weights` are the edge weights from the end of the path, by principle name. A tree that is `done` does not grow.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    path: tuple[Node, ...] = ()
    nodes: tuple[Node, ...] = ()
    tried_principles: tuple[str, ...] = ()
    rejected_principles: tuple[str, ...] = ()
    done: bool = False

    @property
    def chain(self) -> tuple[str, ...]:
        return self.path[-1].chain if self.path else ()

    @property
    def backtracks(self) -> int:
        return len(self.nodes) - len(self.path)


def compute_information(p: float) -> float:
    """1 - H(p) in bits: 0 at 1/2, 1 at 0 and 1.

    The paper prints H - H_init, which has the wrong sign: its text and its code use the decrease of the entropy.
    """
    return 1.0 + sum(q * math.log2(q) for q in (p, 1.0 - p) if q > 0.0)


def list_candidates(tree: Tree, names: Sequence[str], limits: SearchLimits) -> list[str]:
    """The principles that may come next, in the given order: neither in the chain nor tried at this level."""
    rejected = () if limits.allow_reused_principles else tree.rejected_principles
    excluded = {*tree.chain, *tree.tried_principles, *rejected}
    return [name for name in names if name not in excluded]


def select_next_principle(tree: Tree, names: Sequence[str], limits: SearchLimits) -> str | None:
    """Rule 1: the principle with the highest edge weight, the first one on ties; None without candidates."""
    candidates = list_candidates(tree, names, limits)
    return max(candidates, key=lambda name: tree.weights.get(name, 0.0), default=None)


def compute_gain(path: Sequence[Node], index: int) -> float:
    """The information of a node minus that of its parent; for the first node, its information."""
    return path[index].information - (path[index - 1].information if index else 0.0)


def add_node(tree: Tree, node: Node, names: Sequence[str], limits: SearchLimits) -> Tree:
    """The tree with one more node, by rules 2 and 3.

    If the node has less information than its parent, the search backtracks and retries the level while retries and
    candidates remain. The last try stays on the path even if it has less information: the path ends there or is pruned
    there. The first level is never retried.
    """
    nodes = (*tree.nodes, node)
    has_less = bool(tree.path) and node.information < tree.path[-1].information
    if has_less and len(tree.tried_principles) < limits.retries:
        name = node.chain[-1]
        retry = replace(
            tree,
            nodes=nodes,
            tried_principles=(*tree.tried_principles, name),
            rejected_principles=(*tree.rejected_principles, name),
        )
        if list_candidates(retry, names, limits):
            return retry
    path = (*tree.path, node)
    extended = replace(tree, nodes=nodes, path=path, tried_principles=())
    stopped = limits.early_stop and count_retained_nodes(path) < len(path)
    is_done = stopped or len(path) >= limits.max_depth or not list_candidates(extended, names, limits)
    return replace(extended, done=is_done)


def count_retained_nodes(path: Sequence[Node]) -> int:
    """The number of nodes before the first one, from the second on, without gain over its parent.

    A gain of exactly 0 neither triggers backtracking nor keeps the node. The last node kept, n_h, determines the label.
    """
    return next((index for index in range(1, len(path)) if not compute_gain(path, index) > 0), len(path))


def compute_tree_score(path: Sequence[Node]) -> float:
    """The mean information of the kept nodes, in [0, 1]. The filter `information` keeps the trees with the highest scores."""
    kept = path[: count_retained_nodes(path)]
    return sum(node.information for node in kept) / len(kept)


def select_labeler(chain: Sequence[str], harmless: set[str] | frozenset[str], helpful_only_labeler: Labeler) -> Labeler:
    """The model that labels: `helpful_only_labeler` if the pruned chain has no harmlessness principle, else the weak one.

    In the paper it is always the weak model; in the released code, a helpful-only chain is labeled by the strong model.
    """
    return "weak" if harmless.intersection(chain) else helpful_only_labeler


def describe_drop_reason(tree: Tree, node: Node) -> str:
    """The reason a node was dropped; empty for nodes that are kept."""
    index = next((index for index, path_node in enumerate(tree.path) if path_node is node), None)
    if index is None:
        return "less information than its parent; retried"
    num_kept = count_retained_nodes(tree.path)
    if index < num_kept:
        return ""
    return "no gain over its parent" if index == num_kept else "below a node without gain"
