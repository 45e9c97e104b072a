"""Search trees as annotations keep them in their `detail`, read back as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.types import Choice

_TREE_KEYS = {"nodes", "decided_by", "first", "depth", "score", "backtracks", "strong_p_a", "weak_p_a"}
_NODE_KEYS = {"level", "chain", "thought", "information", "p_first", "weight", "left", "status"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchNode:
    """One thought of a tree.

    `chain` names its principles, the newest last, and is empty where the search did without. `weight` in [0, 1] is the share
    of the edge that led here, `information` in [0, 1] is in bits, and `p_a` is the strong model's probability of `a` given
    the thought, None where the thought came out empty. `left` says why the node does not stay, and is empty where it does.
    """

    chain: tuple[str, ...]
    level: int
    thought: tuple[str, ...]
    information: float
    weight: float
    p_a: float | None = None
    drop_reason: str = ""
    status: Literal["ok", "cut", "empty"] = "ok"

    @property
    def name(self) -> str:
        return self.chain[-1] if self.chain else "no principle"

    @property
    def is_kept(self) -> bool:
        return not self.drop_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTree:
    """One pair's search, its nodes in the order of their making.

    `first` is the pair's response that thoughts call Response 1. `depth` counts the nodes that stay, `score` is their mean
    information in bits, and `decided_by` is None where the label failed before anybody decided. `weak_p_a` and `strong_p_a`
    are what each model says itself, where it was asked.
    """

    nodes: tuple[SearchNode, ...]
    first_response: Choice
    decided_by: Literal["weak", "strong"] | None
    depth: int
    backtracks: int
    score: float | None
    weak_p_a: float | None = None
    strong_p_a: float | None = None

    @property
    def chain(self) -> tuple[str, ...]:
        """The principles on the kept path, from the first to the one that decides."""
        return max((node.chain for node in self.nodes if node.is_kept), key=len, default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeBranch:
    """A node with all that was grown below it."""

    node: SearchNode
    children: tuple[TreeBranch, ...]


def parse_search_tree(detail: Mapping[str, Any]) -> SearchTree | None:
    """The tree that a `seam` label keeps in its `detail`; None where the detail is of another kind."""
    if not detail.keys() >= _TREE_KEYS or not all(
        isinstance(each, Mapping) and each.keys() >= _NODE_KEYS for each in detail["nodes"]
    ):
        return None
    return SearchTree(
        nodes=tuple(_parse_node(each, detail["first"]) for each in detail["nodes"]),
        first_response=detail["first"],
        decided_by=detail["decided_by"],
        depth=detail["depth"],
        backtracks=detail["backtracks"],
        score=detail["score"],
        weak_p_a=detail["weak_p_a"],
        strong_p_a=detail["strong_p_a"],
    )


def build_branches(tree: SearchTree, chain: tuple[str, ...] = ()) -> tuple[TreeBranch, ...]:
    """What was grown below a chain; from the root where none is given."""
    if not any(node.chain for node in tree.nodes):
        return tuple(TreeBranch(node=node, children=()) for node in tree.nodes)
    nodes = (node for node in tree.nodes if node.chain and node.chain[:-1] == chain)
    return tuple(TreeBranch(node=node, children=build_branches(tree, node.chain)) for node in nodes)


def format_node(node: SearchNode) -> str:
    """What is known of a node besides its principle and its thought, in words."""
    parts = [f"weight {node.weight:.3f}", f"{node.information:.3f} bits"]
    if node.p_a is not None:
        parts.append(f"p_a {node.p_a:.3f}")
    said = {"ok": "", "cut": "thought cut at its length limit", "empty": "the thought came out empty"}[node.status]
    parts += [said] if said else []
    return ", ".join([*parts, f"left: {node.drop_reason}" if node.drop_reason else "kept"])


def format_tree_summary(tree: SearchTree) -> str:
    """How large a tree is, its score, and which response its thoughts call Response 1."""
    score = "" if tree.score is None else f"; score {tree.score:.3f} bits, which the filter `information` reads"
    size = f"{_pluralize(len(tree.nodes), 'node')}, {tree.depth} kept, {_pluralize(tree.backtracks, 'step')} back"
    return f"{size}{score}; Response 1 is {tree.first_response}"


def format_decision(tree: SearchTree) -> str:
    """Who decided and by what, in a sentence."""
    pick = "" if tree.strong_p_a is None else f"p_a {tree.strong_p_a:.3f}"
    if tree.decided_by is None:
        return "Nobody decided."
    if tree.decided_by == "strong":
        return f"The strong model decided by its own pick, {pick or 'which it has not'}."
    by = " → ".join(tree.chain) or "the thought"
    said = "no answer" if tree.weak_p_a is None else f"p_a {tree.weak_p_a:.3f}"
    return f"The weak model decided by {by}: {said}." + (f" The strong model's own pick: {pick}." if pick else "")


def _parse_node(told: Mapping[str, Any], first: str) -> SearchNode:
    p_first = told["p_first"]
    return SearchNode(
        chain=tuple(told["chain"]),
        level=told["level"],
        thought=tuple(told["thought"]),
        information=told["information"],
        weight=told["weight"],
        p_a=p_first if p_first is None or first == "a" else 1.0 - p_first,
        drop_reason=told["left"],
        status=told["status"],
    )


def _pluralize(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
