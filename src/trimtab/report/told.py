"""How a label came about, as plain values for the page: a search tree, or what was asked and said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from trimtab.report.trees import Branch, branches, decision, node_line, tree_line, tree_of

ORDERS = {"a_first": "a first", "b_first": "b first"}
_SPOKEN = {"orders", "reasoning", "arguments"}
_LONGEST = 1200


def told(detail: Mapping[str, Any]) -> dict[str, Any]:
    """`{"line", "tree", "said"}` of a searched label, `{"parts": [[title, text], …]}` of any other; empty without detail.

    A branch of the tree is [principle, what is known of it, whether it stays, its thought, branches below].
    """
    if not detail:
        return {}
    tree = tree_of(detail)
    if tree is not None:
        asked = f" The weak model: {orders_told(detail)}." if detail.get("orders") else ""
        grown = [_branch(each) for each in branches(tree)]
        return {"line": tree_line(tree), "tree": grown, "said": f"{decision(tree)}{asked}"}
    return {"parts": _parts(detail)}


def orders_told(detail: Mapping[str, Any]) -> str:
    """What was said in each order of the responses, and whether the orders contradict each other."""
    said = _by_order(detail)
    flipped = "; the orders contradict each other" if detail.get("flipped") else ""
    return (", ".join(said) or "no verdict in either order") + flipped


def _by_order(detail: Mapping[str, Any]) -> list[str]:
    return [f"p_a {p_a:.3f} with {ORDERS.get(order, order)}" for order, p_a in detail.get("orders", {}).items()]


def _branch(grown: Branch) -> list[Any]:
    node = grown.node
    thought = _shortened("\n\n".join(part for part in node.thought if part))
    return [node.name, node_line(node), node.kept, thought, [_branch(each) for each in grown.below]]


def _parts(detail: Mapping[str, Any]) -> list[list[str]]:
    orders = _by_order(detail)
    parts = [["asked", ", ".join(orders)]] if orders else []
    parts += [[f"reasoning, {ORDERS.get(order, order)}", text] for order, text in detail.get("reasoning", {}).items()]
    parts += [
        [f"for {speech['for']}, {ORDERS.get(order, order)}", speech["text"]]
        for order, speeches in detail.get("arguments", {}).items()
        for speech in speeches
    ]
    rest = {name: value for name, value in detail.items() if name not in _SPOKEN}
    if rest:
        parts.append(["settings and figures", yaml.safe_dump(rest, sort_keys=False, allow_unicode=True)])
    return [[title, _shortened(text)] for title, text in parts]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … {len(text) - _LONGEST:,} more characters"
