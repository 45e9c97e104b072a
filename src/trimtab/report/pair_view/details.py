"""How a label came about, drawn from its `detail`: a tree, two orders, arguments, or plain settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree as Drawing

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


def render_detail(label: Annotation, *, show_text: bool) -> list[RenderableType]:
    """What is known of how a label came about, a part a line or more; nothing where its annotator kept nothing.

    Without `text`, what models wrote is left out, and so is every string of more than a word.
    """
    if not label.detail:
        return []
    tree = parse_search_tree(label.detail)
    if tree is not None:
        return _render_tree(tree, label.detail, text=show_text)
    if "orders" in label.detail:
        return _render_prompting(label.detail, text=show_text)
    return [_render_yaml(label.detail, text=show_text)]


def _render_tree(tree: SearchTree, detail: Mapping[str, Any], *, text: bool) -> list[RenderableType]:
    drawing = Drawing(Text(format_tree_summary(tree)), guide_style="dim")
    _add_branches(drawing, build_branches(tree), text=text)
    cut = detail.get("words_left_out")
    shortened = [Text(f"{cut} words of the pair were left out, since it was too long", style="dim")] if cut else []
    asked = [Text(f"the weak model: {format_orders(detail)}")] if detail.get("orders") else []
    return [drawing, Text(format_decision(tree)), *asked, *shortened]


def _add_branches(drawing: Drawing, grown: Sequence[TreeBranch], *, text: bool) -> None:
    for each in grown:
        node = each.node
        name = format_excerpt(node.name)
        name.stylize("bold" if node.is_kept else "dim")
        line = Text.assemble(name, " ", (format_node(node), "" if node.is_kept else "dim"))
        for thought in node.thought if text else ():
            line.append("\n")
            line.append(format_excerpt(thought, _THOUGHT_LINES))
        _add_branches(drawing.add(line), each.children, text=text)


def _render_prompting(detail: Mapping[str, Any], *, text: bool) -> list[RenderableType]:
    """Labels by asking about both orders: what was said in each, and for `consultancy` and `debate` the arguments."""
    parts: list[RenderableType] = [Text(format_orders(detail))]
    if "side" in detail:
        parts.append(Text(f"the strong model spoke for {detail['side']}"))
    if "own" in detail:
        own = detail["own"]
        pick = "–" if own.get("p_a") is None else f"{own['p_a']:.3f}"
        parts.append(Text(f"its own label: p_a {pick}; {format_orders(own)}"))
    if text:
        for order, thought in detail.get("reasoning", {}).items():
            parts += _titled_excerpt(f"reasoning, {ORDER_LABELS.get(order, order)}", thought)
        for order, speeches in detail.get("arguments", {}).items():
            for speech in speeches:
                parts += _titled_excerpt(f"for {speech['for']}, {ORDER_LABELS.get(order, order)}", speech["text"])
    if detail.get("cut"):
        parts.append(Text(f"cut at the length limit: {detail['cut']}", style="dim"))
    known = {"orders", "flipped", "side", "own", "reasoning", "arguments", "cut"}
    rest = {name: value for name, value in detail.items() if name not in known}
    return [*parts, _render_yaml(rest, text=text)] if rest else parts


def _titled_excerpt(title: str, text: str) -> list[RenderableType]:
    return [Text(f"{title}:", style="italic"), Padding(format_excerpt(text), (0, 0, 0, 2))]


def _render_yaml(detail: Mapping[str, Any], *, text: bool) -> Text:
    """A detail of any other kind, as YAML."""
    told = detail if text else _redact_text(detail)
    return format_excerpt(
        yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100), max_lines=40, max_characters=4000
    )


def _redact_text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _redact_text(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_redact_text(each) for each in value]
    return "…" if isinstance(value, str) and len(value.split()) > 1 else value
