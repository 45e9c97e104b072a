"""Renders rich tables and text as plain text."""

from __future__ import annotations

import io

from rich.console import Console, RenderableType


def render_plain_text(renderable: RenderableType, width: int = 100) -> str:
    """Renders without colors, at a width in characters; trailing whitespace is removed."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    text = "".join(segment.text for segment in console.render(renderable))
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()
