"""Data inside a prompt, set between tags that it cannot close."""

from __future__ import annotations

import re

# Whatever reads as a whole tag, ours or not: one rule that knows no names cannot miss a name. Backslashes that are already
# there are part of it, so that one is always added and taking one away gives the text back.
_TAG = re.compile(r"<(?=\\*\s*/?\s*[A-Za-z][^<>]*>)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def fence(tag: str, text: str) -> str:
    """`<tag>`, the text, `</tag>`, each from a line of its own.

    A backslash goes after the `<` of everything in the text that looks like a tag, so `</response>` becomes
    `<\\/response>`: people and models can still read it, and removing one backslash after each such `<` restores it.
    Raises `ValueError` where the tag is not a lower-case name.
    """
    if not _NAME.fullmatch(tag):
        raise ValueError(f"tag {tag!r}: expected a name of lower-case letters, digits and underscores")
    inside = _TAG.sub(r"<\\", text)
    return f"<{tag}>\n{inside}\n</{tag}>"
