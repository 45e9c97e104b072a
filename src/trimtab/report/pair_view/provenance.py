"""The provenance of a label as plain values for the page: a search tree, or the prompts' results and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from trimtab.report.pair_view.search_tree import (
    TreeBranch,
    build_branches,
    format_decision,
    format_node,
    format_tree_summary,
    parse_search_tree,
)

ORDER_LABELS = {"a_first": "a first", "b_first": "b first"}
_RENDERED_KEYS = {"p_a_by_order", "reasoning", "arguments"}
_MAX_CHARACTERS = 1200


def describe_provenance(detail: Mapping[str, Any]) -> dict[str, Any]:
    """`{"summary", "tree", "decision"}` for a search tree, else `{"parts": [[title, text], …]}`; empty without detail.

    A branch of the tree is [principle, metrics, whether it is kept, thought, child branches].
    """
    if not detail:
        return {}
    tree = parse_search_tree(detail)
    if tree is not None:
        orders = f" Weak model: {format_orders(detail)}." if detail.get("p_a_by_order") else ""
        branches = [_branch_row(branch) for branch in build_branches(tree)]
        return {
            "summary": format_tree_summary(tree),
            "tree": branches,
            "decision": f"{format_decision(tree)}{orders}",
        }
    return {"parts": _detail_parts(detail)}


def format_orders(detail: Mapping[str, Any]) -> str:
    """The verdict in each order of the responses, and whether the orders disagree."""
    verdicts = ", ".join(_format_verdicts(detail)) or "no verdict in either order"
    return f"{verdicts}; the orders disagree" if detail.get("order_inconsistent") else verdicts


def _format_verdicts(detail: Mapping[str, Any]) -> list[str]:
    return [
        f"p_a {p_a:.3f} with {ORDER_LABELS.get(order, order)}" for order, p_a in detail.get("p_a_by_order", {}).items()
    ]


def _branch_row(branch: TreeBranch) -> list[Any]:
    node = branch.node
    thought = truncate_text("\n\n".join(part for part in node.thought if part), _MAX_CHARACTERS)
    children = [_branch_row(child) for child in branch.children]
    return [node.name, format_node(node), node.is_retained, thought, children]


def _detail_parts(detail: Mapping[str, Any]) -> list[list[str]]:
    verdicts = _format_verdicts(detail)
    parts = [["verdicts", ", ".join(verdicts)]] if verdicts else []
    parts += [
        [f"reasoning, {ORDER_LABELS.get(order, order)}", text] for order, text in detail.get("reasoning", {}).items()
    ]
    parts += [
        [f"argument for {argument['for']}, {ORDER_LABELS.get(order, order)}", argument["text"]]
        for order, arguments in detail.get("arguments", {}).items()
        for argument in arguments
    ]
    other = {name: value for name, value in detail.items() if name not in _RENDERED_KEYS}
    if other:
        parts.append(["other details", yaml.safe_dump(other, sort_keys=False, allow_unicode=True)])
    return [[title, truncate_text(text, _MAX_CHARACTERS)] for title, text in parts]


def truncate_text(text: str, max_characters: int) -> str:
    """The start of a text, and the number of omitted characters."""
    excess = len(text) - max_characters
    return f"{text[:max_characters]} … {excess:,} more characters" if excess > 0 else text
