"""SEAM's tree of one pair: its nodes, what they tell, which of them are kept, and who decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Labeler = Literal["weak", "strong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A chain of principles, the thought on them, and how sure it makes the strong model (Li et al. 2025: c, t and i).

    `p_first` is the strong model's probability that the case's first response is the better, given the thought;
    `information` in [0, 1] bits follows from it. `weight` is the share of the edge that led here. A node whose thought came
    out `empty` tells nothing: its information is 0 and it has no `p_first`. `cut`: the thought ran into the length limit.
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
    """How a tree may grow. `retries` is how often a level may be tried again after its node told less than the one before.

    `reuse_rejected`: a principle that was backtracked from may come again at a deeper level (it is still in P without c(n)).
    `early_stop`: nothing is grown below a node without gain, which would be pruned anyhow.
    """

    max_depth: int
    retries: int
    allow_reused_principles: bool
    early_stop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree while it grows: the path so far, every node in the order of its making, and what was tried at this level.

    `weights` are the edges from the end of the path, by name. A tree that is `done` grows no more.
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
    """1 - H(p) in bits: 0 at a half, 1 where p is 0 or 1.

    The paper prints H - H_init, which has the wrong sign: its text and its code take the decrease of entropy.
    """
    return 1.0 + sum(each * math.log2(each) for each in (p, 1.0 - p) if each > 0.0)


def list_candidates(tree: Tree, names: Sequence[str], rules: SearchLimits) -> list[str]:
    """The principles that may come next, in the given order: those not in the chain and not tried at this level."""
    barred = {*tree.chain, *tree.tried_principles, *(() if rules.allow_reused_principles else tree.rejected_principles)}
    return [name for name in names if name not in barred]


def select_next_principle(tree: Tree, names: Sequence[str], rules: SearchLimits) -> str | None:
    """Rule 1: the heaviest edge's principle, the earlier name on equal weights; None where none is left."""
    among = list_candidates(tree, names, rules)
    return max(among, key=lambda name: tree.weights.get(name, 0.0), default=None)


def compute_gain(path: Sequence[Node], place: int) -> float:
    """What a node of the path tells beyond the one before it; beyond nothing for the first."""
    return path[place].information - (path[place - 1].information if place else 0.0)


def add_node(tree: Tree, node: Node, names: Sequence[str], rules: SearchLimits) -> Tree:
    """The tree with one more node, by rules 2 and 3.

    Less information than before sends the search back to try the level again, while tries and principles are left. The last
    try stays on the path even where it tells less: the path ends there, or is pruned there. The first level always stays.
    """
    made = (*tree.nodes, node)
    less = bool(tree.path) and node.information < tree.path[-1].information
    if less and len(tree.tried_principles) < rules.retries:
        name = node.chain[-1]
        back = replace(
            tree,
            nodes=made,
            tried_principles=(*tree.tried_principles, name),
            rejected_principles=(*tree.rejected_principles, name),
        )
        if list_candidates(back, names, rules):
            return back
    path = (*tree.path, node)
    after = replace(tree, nodes=made, path=path, tried_principles=())
    stopped = rules.early_stop and count_kept_nodes(path) < len(path)
    return replace(after, done=stopped or len(path) >= rules.max_depth or not list_candidates(after, names, rules))


def count_kept_nodes(path: Sequence[Node]) -> int:
    """How many nodes of the path stay: all before the first, from the second on, that gains nothing over the one before.

    A gain of exactly 0 is no reason to go back and none to stay. The last that stays is the one that decides, n_h.
    """
    return next((place for place in range(1, len(path)) if not compute_gain(path, place) > 0), len(path))


def compute_tree_score(path: Sequence[Node]) -> float:
    """The tree's information: the mean over the nodes that stay, in [0, 1]. The filter keeps the trees that have most."""
    stay = path[: count_kept_nodes(path)]
    return sum(node.information for node in stay) / len(stay)


def select_labeler(chain: Sequence[str], harmless: set[str] | frozenset[str], helpful_chains: Labeler) -> Labeler:
    """Who labels. In the paper always the weak model; in the released code the strong one, by its own pick, wherever no
    principle of the pruned chain is about being harmless."""
    return "weak" if harmless.intersection(chain) else helpful_chains


def describe_drop_reason(tree: Tree, node: Node) -> str:
    """Why a node does not stay, in words for a person; empty for those that do."""
    place = next((place for place, each in enumerate(tree.path) if each is node), None)
    if place is None:
        return "told less than the node before; tried again"
    stay = count_kept_nodes(tree.path)
    if place < stay:
        return ""
    return "told no more than the node before" if place == stay else "below a node that told no more"
