"""Renders the provenance of a label in a terminal: a search tree, verdicts by order, arguments, or plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree as RichTree

from trimtab.report.pair_view.excerpt import format_excerpt
from trimtab.report.pair_view.provenance import ORDER_LABELS, format_orders
from trimtab.report.pair_view.search_tree import (
    SearchTree,
    TreeBranch,
    build_branches,
    format_decision,
    format_node,
    format_tree_summary,
    parse_search_tree,
)
from trimtab.types import Annotation

_THOUGHT_LINES = 6
_PROMPTING_KEYS = {
    "p_a_by_order",
    "order_inconsistent",
    "argued_for",
    "strong_label",
    "reasoning",
    "arguments",
    "num_truncated",
}


def render_detail(label: Annotation, *, show_text: bool) -> list[RenderableType]:
    """The provenance of a label, one renderable per part; empty if the annotator recorded none.

    Without `show_text`, text from models and any string longer than one word is omitted.
    """
    if not label.detail:
        return []
    tree = parse_search_tree(label.detail)
    if tree is not None:
        return _render_tree(tree, label.detail, show_text=show_text)
    if "p_a_by_order" in label.detail:
        return _render_prompting(label.detail, show_text=show_text)
    return [_render_yaml(label.detail, show_text=show_text)]


def _render_tree(tree: SearchTree, detail: Mapping[str, Any], *, show_text: bool) -> list[RenderableType]:
    rich_tree = RichTree(Text(format_tree_summary(tree)), guide_style="dim")
    _add_branches(rich_tree, build_branches(tree), show_text=show_text)
    num_words = detail.get("words_removed")
    truncation = [Text(f"the pair was too long: {num_words} words removed", style="dim")] if num_words else []
    orders = [Text(f"weak model: {format_orders(detail)}")] if detail.get("p_a_by_order") else []
    return [rich_tree, Text(format_decision(tree)), *orders, *truncation]


def _add_branches(rich_tree: RichTree, branches: Sequence[TreeBranch], *, show_text: bool) -> None:
    for branch in branches:
        node = branch.node
        name = format_excerpt(node.name)
        name.stylize("bold" if node.is_retained else "dim")
        line = Text.assemble(name, " ", (format_node(node), "" if node.is_retained else "dim"))
        for thought in node.thought if show_text else ():
            line.append("\n")
            line.append(format_excerpt(thought, _THOUGHT_LINES))
        _add_branches(rich_tree.add(line), branch.children, show_text=show_text)


def _render_prompting(detail: Mapping[str, Any], *, show_text: bool) -> list[RenderableType]:
    """The verdict in each order, and the arguments of `consultancy` and `debate`."""
    parts: list[RenderableType] = [Text(format_orders(detail))]
    if "argued_for" in detail:
        parts.append(Text(f"the strong model argued for {detail['argued_for']}"))
    if "strong_label" in detail:
        strong = detail["strong_label"]
        p_a = "–" if strong.get("p_a") is None else f"{strong['p_a']:.3f}"
        parts.append(Text(f"strong model's own label: p_a {p_a}; {format_orders(strong)}"))
    if show_text:
        for order, reasoning in detail.get("reasoning", {}).items():
            parts += _titled_excerpt(f"reasoning, {ORDER_LABELS.get(order, order)}", reasoning)
        for order, arguments in detail.get("arguments", {}).items():
            for argument in arguments:
                title = f"argument for {argument['for']}, {ORDER_LABELS.get(order, order)}"
                parts += _titled_excerpt(title, argument["text"])
    if detail.get("num_truncated"):
        parts.append(Text(f"truncated at the length limit: {detail['num_truncated']}", style="dim"))
    other = {name: value for name, value in detail.items() if name not in _PROMPTING_KEYS}
    return [*parts, _render_yaml(other, show_text=show_text)] if other else parts


def _titled_excerpt(title: str, text: str) -> list[RenderableType]:
    return [Text(f"{title}:", style="italic"), Padding(format_excerpt(text), (0, 0, 0, 2))]


def _render_yaml(detail: Mapping[str, Any], *, show_text: bool) -> Text:
    values = detail if show_text else _redact_text(detail)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return format_excerpt(text, max_lines=40, max_characters=4000)


def _redact_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _redact_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_redact_text(item) for item in value]
    return "…" if isinstance(value, str) and len(value.split()) > 1 else value
