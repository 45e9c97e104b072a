"""Data inside a prompt: set between tags that it cannot close, and in turns that it cannot begin."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trimtab.types import Message

# Whatever reads as a whole tag, ours or not: one rule that knows no names cannot miss a name. Backslashes that are already
# there are part of it, so that one is always added and taking one away gives the text back.
_TAG = re.compile(r"<(?=\\*\s*/?\s*[A-Za-z][^<>]*>)")
# Whatever a reader may take for the end of a line.
_LINE_BREAKS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_NEW_LINE = re.compile(rf"([{_LINE_BREAKS}])(?=[^{_LINE_BREAKS}])")
_INDENTED = r"\1  "
_HEADING = re.compile(rf"[{_LINE_BREAKS}]\s*(?:system|user|human|assistant)\s*:", re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def render_turns(messages: Sequence[Message]) -> str:
    """A conversation, a turn a paragraph behind its role, as in `User: Hello.`.

    No line of a message can begin a turn: where one reads like the heading of a turn (`Assistant:`, in any case, or HH-RLHF's
    `Human:`), all further lines of the message are indented by two spaces, so that it is read as that message's text.
    """
    return "\n\n".join(f"{each.role.capitalize()}: {_indent_role_headings(each.content)}" for each in messages)


def _indent_role_headings(message: str) -> str:
    return _NEW_LINE.sub(_INDENTED, message) if _HEADING.search(message) else message


def wrap_in_tags(tag: str, text: str) -> str:
    """`<tag>`, the text, `</tag>`, each from a line of its own.

    A backslash goes after the `<` of everything in the text that looks like a tag, so `</response>` becomes
    `<\\/response>`: people and models can still read it, and removing one backslash after each such `<` restores it.
    Raises `ValueError` where the tag is not a lower-case name.
    """
    if not _NAME.fullmatch(tag):
        raise ValueError(f"tag {tag!r}: expected a name of lower-case letters, digits and underscores")
    inside = _TAG.sub(r"<\\", text)
    return f"<{tag}>\n{inside}\n</{tag}>"
