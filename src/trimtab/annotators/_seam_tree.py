"""SEAM's tree of one pair: its nodes, what they tell, which of them are kept, and who decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Decider = Literal["weak", "strong"]


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
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a tree may grow. `retries` is how often a level may be tried again after its node told less than the one before.

    `reuse_rejected`: a principle that was backtracked from may come again at a deeper level (it is still in P without c(n)).
    `early_stop`: nothing is grown below a node without gain, which would be pruned anyhow.
    """

    depth: int
    retries: int
    reuse_rejected: bool
    early_stop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree while it grows: the path so far, every node in the order of its making, and what was tried at this level.

    `weights` are the edges from the end of the path, by name. A tree that is `done` grows no more.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    path: tuple[Node, ...] = ()
    made: tuple[Node, ...] = ()
    tried: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    done: bool = False

    @property
    def chain(self) -> tuple[str, ...]:
        return self.path[-1].chain if self.path else ()

    @property
    def backtracks(self) -> int:
        return len(self.made) - len(self.path)


def information(p: float) -> float:
    """1 - H(p) in bits: 0 at a half, 1 where p is 0 or 1.

    The paper prints H - H_init, which has the wrong sign: its text and its code take the decrease of entropy.
    """
    return 1.0 + sum(each * math.log2(each) for each in (p, 1.0 - p) if each > 0.0)


def open_names(tree: Tree, names: Sequence[str], rules: Growth) -> list[str]:
    """The principles that may come next, in the given order: those not in the chain and not tried at this level."""
    barred = {*tree.chain, *tree.tried, *(() if rules.reuse_rejected else tree.rejected)}
    return [name for name in names if name not in barred]


def next_name(tree: Tree, names: Sequence[str], rules: Growth) -> str | None:
    """Rule 1: the heaviest edge's principle, the earlier name on equal weights; None where none is left."""
    among = open_names(tree, names, rules)
    return max(among, key=lambda name: tree.weights.get(name, 0.0), default=None)


def gain(path: Sequence[Node], place: int) -> float:
    """What a node of the path tells beyond the one before it; beyond nothing for the first."""
    return path[place].information - (path[place - 1].information if place else 0.0)


def grown(tree: Tree, node: Node, names: Sequence[str], rules: Growth) -> Tree:
    """The tree with one more node, by rules 2 and 3.

    Less information than before sends the search back to try the level again, while tries and principles are left. The last
    try stays on the path even where it tells less: the path ends there, or is pruned there. The first level always stays.
    """
    made = (*tree.made, node)
    less = bool(tree.path) and node.information < tree.path[-1].information
    if less and len(tree.tried) < rules.retries:
        name = node.chain[-1]
        back = replace(tree, made=made, tried=(*tree.tried, name), rejected=(*tree.rejected, name))
        if open_names(back, names, rules):
            return back
    path = (*tree.path, node)
    after = replace(tree, made=made, path=path, tried=())
    stopped = rules.early_stop and kept(path) < len(path)
    return replace(after, done=stopped or len(path) >= rules.depth or not open_names(after, names, rules))


def kept(path: Sequence[Node]) -> int:
    """How many nodes of the path stay: all before the first, from the second on, that gains nothing over the one before.

    A gain of exactly 0 is no reason to go back and none to stay. The last that stays is the one that decides, n_h.
    """
    return next((place for place in range(1, len(path)) if not gain(path, place) > 0), len(path))


def score(path: Sequence[Node]) -> float:
    """The tree's information: the mean over the nodes that stay, in [0, 1]. The filter keeps the trees that have most."""
    stay = path[: kept(path)]
    return sum(node.information for node in stay) / len(stay)


def decider(chain: Sequence[str], harmless: set[str] | frozenset[str], helpful_chains: Decider) -> Decider:
    """Who labels. In the paper always the weak model; in the released code the strong one, by its own pick, wherever no
    principle of the pruned chain is about being harmless."""
    return "weak" if harmless.intersection(chain) else helpful_chains


def why_left(tree: Tree, node: Node) -> str:
    """Why a node does not stay, in words for a person; empty for those that do."""
    place = next((place for place, each in enumerate(tree.path) if each is node), None)
    if place is None:
        return "told less than the node before; tried again"
    stay = kept(tree.path)
    if place < stay:
        return ""
    return "told no more than the node before" if place == stay else "below a node that told no more"
