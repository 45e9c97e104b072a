"""Bounded excerpts of untrusted text, safe to print in a terminal."""

from __future__ import annotations

from rich.text import Text

MAX_LINES = 12
MAX_CHARACTERS = 900
# Control codes are replaced by visible symbols: one each for C0 and DEL, a shared one for C1 and text direction.
_CONTROL_PICTURES = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: "␡",
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "�"),
}


def format_excerpt(text: str, max_lines: int = MAX_LINES, max_characters: int = MAX_CHARACTERS) -> Text:
    """The start of a text, and the number of omitted characters."""
    full = text.replace("\r\n", "\n").strip("\n")
    start = "\n".join(full.split("\n")[:max_lines])[:max_characters]
    excerpt = Text(start.translate(_CONTROL_PICTURES))
    if len(start) < len(full):
        excerpt.append(f" … {len(full) - len(start):,} more characters", style="dim")
    return excerpt
