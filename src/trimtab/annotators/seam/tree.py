"""SEAM's search tree of one pair: nodes, information, backtracking, the deciding node, and which model labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Literal

Labeler = Literal["weak", "strong"]
NodeSelection = Literal["deepest_gain", "unbroken_gain"]


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
    without c(n)). `early_stop`: stop at a node with less information than its parent once the retries of its level are
    used up (rule 3).
    """

    max_depth: int
    retries: int
    allow_reused_principles: bool
    early_stop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """State of a tree: the current path, all nodes in order of creation, and the principles tried at this level.

    `weights` are the edge weights from the end of the path, by principle name. A tree that is `done` does not grow.
    `node_selection` is the rule for the valid nodes and for n_h, the node that the label is based on.
    """

    node_selection: NodeSelection = "deepest_gain"
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

    @property
    def valid_nodes(self) -> tuple[Node, ...]:
        """The nodes with information gain over their predecessor. The predecessor of the first node is the root, with 0 bits.

        `deepest_gain` (the text of the paper): all such nodes of the path. `unbroken_gain` (the released code): the first
        node, and those before the first one without gain. If no node has a gain, the first node is the only valid one.
        """
        gains = [compute_gain(self.path, index) > 0 for index in range(len(self.path))]
        if self.node_selection == "unbroken_gain":
            end = next((index for index, has_gain in enumerate(gains) if index and not has_gain), len(gains))
            return self.path[:end]
        return tuple(compress(self.path, gains)) or self.path[:1]

    @property
    def deciding_node(self) -> Node:
        """The deepest valid node, n_h."""
        return self.valid_nodes[-1]

    @property
    def is_settled(self) -> bool:
        """Whether no deeper node could change the label: below the first node without gain, all nodes are pruned."""
        return self.node_selection == "unbroken_gain" and len(self.valid_nodes) < len(self.path)


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
    candidates remain. The last try stays on the path even if it has less information, and with `early_stop` the search
    ends there. A node with equal information triggers neither. The first level is never retried.
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
    is_done = (
        (limits.early_stop and has_less)
        or len(path) >= limits.max_depth
        or not list_candidates(extended, names, limits)
    )
    return replace(extended, done=is_done)


def compute_tree_score(tree: Tree) -> float:
    """The mean information of the valid nodes, in [0, 1]. The filter `information` keeps the trees with the highest scores."""
    valid = tree.valid_nodes
    return sum(node.information for node in valid) / len(valid)


def select_labeler(chain: Sequence[str], harmless: set[str] | frozenset[str], helpful_only_labeler: Labeler) -> Labeler:
    """The model that labels: `helpful_only_labeler` if the pruned chain has no harmlessness principle, else the weak one.

    In the paper it is always the weak model; in the released code, a helpful-only chain is labeled by the strong model.
    """
    return "weak" if harmless.intersection(chain) else helpful_only_labeler


def describe_drop_reason(tree: Tree, node: Node) -> str:
    """The reason that a node is not valid; empty for valid nodes."""
    if any(node is valid for valid in tree.valid_nodes):
        return ""
    index = next((index for index, path_node in enumerate(tree.path) if path_node is node), None)
    if index is None:
        return "less information than its parent; retried"
    return "below a node without gain" if compute_gain(tree.path, index) > 0 else "no gain over its parent"
