"""Text from data as a terminal can show it: of bounded length, and free of control codes."""

from __future__ import annotations

from rich.text import Text

MAX_LINES = 12
MAX_CHARACTERS = 900
# What a terminal would obey is shown by its picture: C0 and DEL have one each, C1 and directions share a replacement.
_CONTROL_PICTURES = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: "␡",
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "�"),
}


def format_excerpt(text: str, max_lines: int = MAX_LINES, max_characters: int = MAX_CHARACTERS) -> Text:
    """The beginning of a text, and how much of it is left out."""
    whole = text.replace("\r\n", "\n").strip("\n")
    cut = "\n".join(whole.split("\n")[:max_lines])[:max_characters]
    shown = Text(cut.translate(_CONTROL_PICTURES))
    if len(cut) < len(whole):
        shown.append(f" … {len(whole) - len(cut):,} more characters", style="dim")
    return shown
