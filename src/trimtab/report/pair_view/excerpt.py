"""Bounded excerpts of untrusted text, safe to print in a terminal."""

from __future__ import annotations

from rich.text import Text

from trimtab.core.terminal_text import show_control_codes

MAX_LINES = 12
MAX_CHARACTERS = 900


def format_excerpt(text: str, max_lines: int = MAX_LINES, max_characters: int = MAX_CHARACTERS) -> Text:
    """The start of a text, and the number of omitted characters."""
    full = text.replace("\r\n", "\n").strip("\n")
    start = "\n".join(full.split("\n")[:max_lines])[:max_characters]
    excerpt = Text(show_control_codes(start))
    if len(start) < len(full):
        excerpt.append(f" … {len(full) - len(start):,} more characters", style="dim")
    return excerpt
