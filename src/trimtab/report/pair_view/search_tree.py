"""SEAM search trees, parsed from an annotation's `detail`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.types import Choice

_TREE_KEYS = {"nodes", "decided_by", "first", "depth", "score", "backtracks", "strong_p_a", "weak_p_a"}
_NODE_KEYS = {"level", "chain", "thought", "information", "p_first", "weight", "drop_reason", "status"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchNode:
    """A node of a search tree: a thought on a chain of principles.

    `chain` lists the principles, the newest last; it is empty if the search uses none. `weight` in [0, 1] is the share
    of the edge to this node, `information` in [0, 1] is in bits. `p_a` is the strong model's probability of `a` given
    the thought, None if the thought is empty. `drop_reason` is empty for a kept node.
    """

    chain: tuple[str, ...]
    level: int
    thought: tuple[str, ...]
    information: float
    weight: float
    p_a: float | None = None
    drop_reason: str = ""
    status: Literal["ok", "truncated", "empty"] = "ok"

    @property
    def name(self) -> str:
        return self.chain[-1] if self.chain else "no principle"

    @property
    def is_retained(self) -> bool:
        return not self.drop_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTree:
    """The search for one pair, with its nodes in creation order.

    `first_response` is the response that thoughts call Response 1. `depth` is the level of the node that the label is
    based on, `score` the mean information of the kept nodes in bits. `decided_by` is None if the label failed before a
    decision. `weak_p_a` and `strong_p_a` are each model's own probability of `a`, None if the model was not queried.
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
        """The principles on the path to the deciding node."""
        return max((node.chain for node in self.nodes if node.is_retained), key=len, default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeBranch:
    """A node with its subtree."""

    node: SearchNode
    children: tuple[TreeBranch, ...]


def parse_search_tree(detail: Mapping[str, Any]) -> SearchTree | None:
    """The tree in the `detail` of a `seam` label; None for other details."""
    if not detail.keys() >= _TREE_KEYS or not all(
        isinstance(node, Mapping) and node.keys() >= _NODE_KEYS for node in detail["nodes"]
    ):
        return None
    return SearchTree(
        nodes=tuple(_parse_node(node, detail["first"]) for node in detail["nodes"]),
        first_response=detail["first"],
        decided_by=detail["decided_by"],
        depth=detail["depth"],
        backtracks=detail["backtracks"],
        score=detail["score"],
        weak_p_a=detail["weak_p_a"],
        strong_p_a=detail["strong_p_a"],
    )


def build_branches(tree: SearchTree, chain: tuple[str, ...] = ()) -> tuple[TreeBranch, ...]:
    """The branches below a chain of principles; from the root by default."""
    if not any(node.chain for node in tree.nodes):
        return tuple(TreeBranch(node=node, children=()) for node in tree.nodes)
    nodes = (node for node in tree.nodes if node.chain and node.chain[:-1] == chain)
    return tuple(TreeBranch(node=node, children=build_branches(tree, node.chain)) for node in nodes)


def format_node(node: SearchNode) -> str:
    """The weight, information, probability and status of a node."""
    parts = [f"weight {node.weight:.3f}", f"{node.information:.3f} bits"]
    if node.p_a is not None:
        parts.append(f"p_a {node.p_a:.3f}")
    status = {"ok": "", "truncated": "thought truncated at its length limit", "empty": "empty thought"}[node.status]
    parts += [status] if status else []
    return ", ".join([*parts, f"dropped: {node.drop_reason}" if node.drop_reason else "kept"])


def format_tree_summary(tree: SearchTree) -> str:
    """The size and score of a tree, and which response its thoughts call Response 1."""
    score = "" if tree.score is None else f"; score {tree.score:.3f} bits (used by the filter `information`)"
    kept = sum(node.is_retained for node in tree.nodes)
    size = f"{_pluralize(len(tree.nodes), 'node')}, {kept} kept, {_pluralize(tree.backtracks, 'backtrack')}"
    return f"{size}{score}; Response 1 is {tree.first_response}"


def format_decision(tree: SearchTree) -> str:
    """A sentence on which model decided, and from what."""
    strong = "" if tree.strong_p_a is None else f"p_a {tree.strong_p_a:.3f}"
    if tree.decided_by is None:
        return "Neither model decided."
    if tree.decided_by == "strong":
        return f"The strong model decided by its own verdict, {strong or 'which is missing'}."
    given = " → ".join(tree.chain) or "the thought"
    weak = "no answer" if tree.weak_p_a is None else f"p_a {tree.weak_p_a:.3f}"
    return f"The weak model decided given {given}: {weak}." + (
        f" The strong model's own verdict: {strong}." if strong else ""
    )


def _parse_node(node: Mapping[str, Any], first: str) -> SearchNode:
    p_first = node["p_first"]
    return SearchNode(
        chain=tuple(node["chain"]),
        level=node["level"],
        thought=tuple(node["thought"]),
        information=node["information"],
        weight=node["weight"],
        p_a=p_first if p_first is None or first == "a" else 1.0 - p_first,
        drop_reason=node["drop_reason"],
        status=node["status"],
    )


def _pluralize(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
