"""Text that is safe to print in a terminal, whatever data or servers put into it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Control codes, text direction and halves of characters; not line breaks and tabs.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MAX_C0, _DELETE = 0x1F, 0x7F


def show_control_codes(text: str) -> str:
    """The text with a visible symbol in place of each control code: one each for C0 and DEL, a shared one for all others."""
    return _UNSAFE.sub(_to_symbol, text)


def _to_symbol(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code <= _MAX_C0 else "␡" if code == _DELETE else "�"


class SafeConsole(Console):
    """Prints no control codes but its own, whoever wrote the text, and no characters that the terminal cannot encode."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(self._make_safe(segment.text), segment.style)

    def _make_safe(self, text: str) -> str:
        if text.isascii() and text.isprintable():
            return text
        return show_control_codes(text).encode(self.encoding, "replace").decode(self.encoding)
