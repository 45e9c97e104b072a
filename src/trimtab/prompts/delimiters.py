"""Delimiters for untrusted text in prompts: tags that the text cannot close, and turns that it cannot start."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trimtab.types import Message

# Matches anything that looks like a whole tag, whatever its name, so no tag name can be missed. Existing backslashes are
# part of the match: one is always added, and removing one restores the text.
_TAG = re.compile(r"<(?=\\*\s*/?\s*[A-Za-z][^<>]*>)")
# All characters that may be read as the end of a line.
_LINE_BREAKS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_NEW_LINE = re.compile(rf"([{_LINE_BREAKS}])(?=[^{_LINE_BREAKS}])")
_INDENTED = r"\1  "
_HEADING = re.compile(rf"[{_LINE_BREAKS}]\s*(?:system|user|human|assistant)\s*:", re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def render_turns(messages: Sequence[Message]) -> str:
    """Renders a conversation, one paragraph per turn, each starting with its role: `User: Hello.`.

    No line of a message can start a turn: if a line looks like a role heading (`Assistant:` in any case, or HH-RLHF's
    `Human:`), all lines of the message but the first are indented by two spaces, so it reads as that message's text.
    """
    return "\n\n".join(f"{message.role.capitalize()}: {_indent_role_headings(message.content)}" for message in messages)


def _indent_role_headings(message: str) -> str:
    return _NEW_LINE.sub(_INDENTED, message) if _HEADING.search(message) else message


def wrap_in_tags(tag: str, text: str) -> str:
    """Puts the text between `<tag>` and `</tag>`, each on a line of its own.

    Inserts a backslash after the `<` of everything in the text that looks like a tag: `</response>` becomes
    `<\\/response>`. It stays readable, and removing one backslash after each such `<` restores the text. Raises
    `ValueError` if the tag is not a lower-case name.
    """
    if not _NAME.fullmatch(tag):
        raise ValueError(f"tag {tag!r}: expected a name of lower-case letters, digits and underscores")
    escaped = _TAG.sub(r"<\\", text)
    return f"<{tag}>\n{escaped}\n</{tag}>"
