"""Delimiters for untrusted text in prompts: tags that the text cannot close, and turns that it cannot start."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trimtab.types import ROLES, Message

# Characters that have no width, inside a character class. A model may read a tag or a heading that contains some as if it
# did not, so they are ignored wherever a tag or a heading is looked for.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
# All characters that may be read as the end of a line, inside a character class.
LINE_BREAKS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
# Matches anything that looks like a whole tag, whatever its name, so no tag name can be missed. Existing backslashes are
# part of the match: one is always added, and removing one restores the text. Quantifiers do not backtrack, so the time is
# proportional to the length of the text.
_TAG = re.compile(rf"<(?=[{INVISIBLE}]*+\\*+[\s{INVISIBLE}]*+(?:/[\s{INVISIBLE}]*+)?[A-Za-z][^<>]*+>)")
_NEW_LINE = re.compile(rf"([{LINE_BREAKS}])(?=[^{LINE_BREAKS}])")
_INDENTED = r"\1  "
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def match_word(word: str) -> str:
    """A pattern of the word with invisible characters anywhere between its letters."""
    return f"[{INVISIBLE}]*+".join(map(re.escape, word))


def match_heading(words: Sequence[str], space: str = r"\s") -> str:
    """A pattern of one of the words and a colon, with `space` (inside a character class) between them."""
    return rf"(?:{'|'.join(map(match_word, words))})[{space}{INVISIBLE}]*+[:\uff1a]"


_ROLE_HEADING = re.compile(match_heading([*ROLES, "human"]), re.IGNORECASE)
_IGNORED = re.compile(rf"[\s{INVISIBLE}]")
_LINE_BREAK = re.compile(rf"[{LINE_BREAKS}]")


def render_turns(messages: Sequence[Message]) -> str:
    """Renders a conversation, one paragraph per turn, each starting with its role: `User: Hello.`.

    No line of a message can start a turn: if a line looks like a role heading (`Assistant:` in any case, or HH-RLHF's
    `Human:`), all lines of the message but the first are indented by two spaces, so it reads as that message's text.
    """
    return "\n\n".join(f"{message.role.capitalize()}: {_indent_role_headings(message.content)}" for message in messages)


def _indent_role_headings(message: str) -> str:
    return _NEW_LINE.sub(_INDENTED, message) if _starts_a_line(_ROLE_HEADING, message) else message


def indent_label_lines(text: str, label: str) -> str:
    """The text, with all lines indented by two spaces if one of them starts with the label in any spelling.

    So text that a model wrote before a label cannot contain the label itself.
    """
    heading = re.compile(match_heading([label.removesuffix(":")]), re.IGNORECASE)
    return _NEW_LINE.sub(_INDENTED, f"  {text}") if _starts_a_line(heading, f"\n{text}") else text


def _starts_a_line(heading: re.Pattern[str], text: str) -> bool:
    """Whether only spaces and invisible characters are between a line break and a heading."""
    for match in heading.finditer(text):
        index = match.start()
        while index > 0 and _IGNORED.match(text, index - 1):
            index -= 1
            if _LINE_BREAK.match(text, index):
                return True
    return False


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
