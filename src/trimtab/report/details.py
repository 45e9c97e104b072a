"""How a label came about, drawn from its `detail`: a tree, two orders, arguments, or plain settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree as Drawing

from trimtab.report.excerpt import excerpt
from trimtab.report.told import ORDERS, orders_told
from trimtab.report.trees import Branch, Tree, branches, decision, node_line, tree_line, tree_of
from trimtab.types import Annotation

_THOUGHT_LINES = 6


def detail_parts(label: Annotation, *, text: bool) -> list[RenderableType]:
    """What is known of how a label came about, a part a line or more; nothing where its annotator kept nothing.

    Without `text`, what models wrote is left out, and so is every string of more than a word.
    """
    if not label.detail:
        return []
    tree = tree_of(label.detail)
    if tree is not None:
        return _of_tree(tree, label.detail, text=text)
    if "orders" in label.detail:
        return _of_asking(label.detail, text=text)
    return [_plainly(label.detail, text=text)]


def _of_tree(tree: Tree, detail: Mapping[str, Any], *, text: bool) -> list[RenderableType]:
    drawing = Drawing(Text(tree_line(tree)), guide_style="dim")
    _grow(drawing, branches(tree), text=text)
    cut = detail.get("words_left_out")
    shortened = [Text(f"{cut} words of the pair were left out, since it was too long", style="dim")] if cut else []
    asked = [Text(f"the weak model: {orders_told(detail)}")] if detail.get("orders") else []
    return [drawing, Text(decision(tree)), *asked, *shortened]


def _grow(drawing: Drawing, grown: Sequence[Branch], *, text: bool) -> None:
    for each in grown:
        node = each.node
        name = excerpt(node.name)
        name.stylize("bold" if node.kept else "dim")
        line = Text.assemble(name, " ", (node_line(node), "" if node.kept else "dim"))
        for thought in node.thought if text else ():
            line.append("\n")
            line.append(excerpt(thought, _THOUGHT_LINES))
        _grow(drawing.add(line), each.below, text=text)


def _of_asking(detail: Mapping[str, Any], *, text: bool) -> list[RenderableType]:
    """Labels by asking about both orders: what was said in each, and for `consultancy` and `debate` the arguments."""
    parts: list[RenderableType] = [Text(orders_told(detail))]
    if "side" in detail:
        parts.append(Text(f"the strong model spoke for {detail['side']}"))
    if "own" in detail:
        own = detail["own"]
        pick = "–" if own.get("p_a") is None else f"{own['p_a']:.3f}"
        parts.append(Text(f"its own label: p_a {pick}; {orders_told(own)}"))
    if text:
        for order, thought in detail.get("reasoning", {}).items():
            parts += _said(f"reasoning, {ORDERS.get(order, order)}", thought)
        for order, speeches in detail.get("arguments", {}).items():
            for speech in speeches:
                parts += _said(f"for {speech['for']}, {ORDERS.get(order, order)}", speech["text"])
    if detail.get("cut"):
        parts.append(Text(f"cut at the length limit: {detail['cut']}", style="dim"))
    known = {"orders", "flipped", "side", "own", "reasoning", "arguments", "cut"}
    rest = {name: value for name, value in detail.items() if name not in known}
    return [*parts, _plainly(rest, text=text)] if rest else parts


def _said(title: str, text: str) -> list[RenderableType]:
    return [Text(f"{title}:", style="italic"), Padding(excerpt(text), (0, 0, 0, 2))]


def _plainly(detail: Mapping[str, Any], *, text: bool) -> Text:
    """A detail of any other kind, as YAML."""
    told = detail if text else _wordless(detail)
    return excerpt(yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100), lines=40, characters=4000)


def _wordless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _wordless(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_wordless(each) for each in value]
    return "…" if isinstance(value, str) and len(value.split()) > 1 else value
