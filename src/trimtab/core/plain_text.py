"""Renders rich tables and text as plain text."""

from __future__ import annotations

import io

from rich.console import RenderableType

from trimtab.core.terminal_text import SafeConsole


def render_plain_text(renderable: RenderableType, width: int = 100) -> str:
    """Renders without colors or control codes, at a width in characters; trailing whitespace is removed."""
    console = SafeConsole(file=io.StringIO(), width=width, color_system=None)
    text = "".join(segment.text for segment in console.render(renderable))
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()
