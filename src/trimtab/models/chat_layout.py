"""What a chat template writes around the messages of a conversation, and the fixed date in templates that insert one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from trimtab.errors import ModelError
from trimtab.models.chat_messages import ChatMessages, build_chat_messages
from trimtab.types import Role

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Private-use characters that no chat template writes. A message that contains them is encoded like any other text.
_SENTINEL = "\ue0f0{}\ue0f1"
_SENTINEL_PATTERN = re.compile("\ue0f0(\\d+)\ue0f1")
# Templates that ask for the current date get this one, so that a prompt is the same on every day.
TEMPLATE_DATE = datetime(2024, 7, 26)
_FIXED_DATE = "{%- macro strftime_now(format) %}"
_DATE_CODES = "YmdBbAajyeHMSIp"
REMEDY = "set `chat_template` to the path of a corrected Jinja file, or to 'trimtab' for the built-in template"


@dataclass(frozen=True, slots=True)
class ChatLayout:
    """The text that a template writes around the messages of a conversation with an answer.

    `controls[i]` precedes the message with index `order[i]`; the last control text precedes the answer, and `tail` follows
    it. `order` is the order in the rendered text: a template may move or repeat a message.
    """

    controls: tuple[str, ...]
    order: tuple[int, ...]
    tail: str

    @property
    def lead(self) -> str:
        """The spaces before the answer, which are tokenized together with its first word."""
        text = self.controls[-1]
        return text[len(text.rstrip(" ")) :]

    @property
    def answer_prefix(self) -> str:
        """The control text before the answer, without the spaces in `lead`."""
        return self.controls[-1].rstrip(" ")

    def pieces(self, contents: Sequence[str]) -> list[tuple[str, bool]]:
        """The text of a prompt with these messages, in order, up to the answer's lead. True marks a control text."""
        pieces = []
        for control, index in zip(self.controls, self.order, strict=False):
            pieces += [(control, True), (contents[index], False)]
        return [*pieces, (self.answer_prefix, True)]


def build_layout(tokenizer: PreTrainedTokenizerBase, roles: Sequence[Role]) -> ChatLayout:
    """Find what the template writes around messages with these roles and an answer to them.

    Raises `ModelError` if the template rejects such a conversation, omits one of its messages, or writes a message after
    the answer.
    """
    answered: list[Role] = [*roles, "assistant"]
    marks = [_SENTINEL.format(index) for index in range(len(answered))]
    text = render_template(tokenizer, list(zip(answered, marks, strict=True)))
    fields = _SENTINEL_PATTERN.split(text)
    order = tuple(map(int, fields[1::2]))
    for index, role in enumerate(answered):
        if index not in order:
            raise ModelError(_describe_omission(tokenizer, answered, role, marks[index]))
    if order.count(len(roles)) > 1 or order[-1] != len(roles):
        raise ModelError(
            f"{tokenizer.name_or_path}: the chat template writes other messages after the answer, or the answer twice; {REMEDY}"
        )
    return ChatLayout(controls=tuple(fields[:-1:2]), order=order[:-1], tail=fields[-1])


def _describe_omission(tokenizer: PreTrainedTokenizerBase, roles: Sequence[Role], role: Role, mark: str) -> str:
    turns = ", ".join(roles)
    reason = f"omits the {role} turn of a conversation with the turns {turns}"
    try:
        unanswered = render_template(tokenizer, [(name, mark) for name in roles[:-1]], add_generation_prompt=True)
    except ModelError:
        unanswered = ""
    if role != "assistant" and unanswered.count(mark) == len(roles) - 1:
        reason = f"writes the {role} turn of {turns} only until there is an answer, so a trained text would lack it"
    hint = ", or remove the system turns from the data and `system` from the model" if role == "system" else ""
    return f"{tokenizer.name_or_path}: the chat template {reason}; {REMEDY}{hint}"


def describe_generation_prompt(tokenizer: PreTrainedTokenizerBase, layout: ChatLayout) -> str | None:
    """How the template's generation prompt for one user turn differs from what it writes before an answer, or None."""
    try:
        text = render_template(tokenizer, [("user", _SENTINEL.format(0))], add_generation_prompt=True)
    except ModelError:
        return None
    generation = _SENTINEL_PATTERN.split(text)[-1].rstrip(" ")
    if generation == layout.answer_prefix:
        return None
    return (
        f"{tokenizer.name_or_path}: the chat template writes {layout.controls[-1]!r} before an answer, but its generation "
        f"prompt is {generation!r}; training, scoring and generation use the former"
    )


def render_template(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str]], *, add_generation_prompt: bool = False
) -> str:
    """The conversation as the template writes it. Raises `ModelError` with the template's message if it rejects it."""
    return render_messages(tokenizer, build_chat_messages(turns), add_generation_prompt=add_generation_prompt)


def render_messages(
    tokenizer: PreTrainedTokenizerBase, chat: ChatMessages, *, add_generation_prompt: bool = False
) -> str:
    """Like `render_template`, for messages and tools."""
    try:
        text = tokenizer.apply_chat_template(
            chat.messages,
            tools=chat.tools,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
    except Exception as error:  # a template is a program and can raise anything
        raise ModelError(
            f"{tokenizer.name_or_path}: the chat template rejects a conversation with the turns "
            f"{', '.join(message['role'] for message in chat.messages)}: {str(error) or type(error).__name__}; {REMEDY}"
        ) from error
    return str(text)


def fix_template_date(source: str) -> str:
    """The template with `strftime_now`, which returns the current date, replaced by one that returns TEMPLATE_DATE."""
    if "strftime_now" not in source or source.startswith(_FIXED_DATE):
        return source
    filters = "".join(f"|replace('%{code}', '{_format_date(code)}')" for code in _DATE_CODES)
    # the empty text at the end keeps Jinja from removing a line break at the start of the template
    return f"{_FIXED_DATE}{{{{- format|replace('%-', '%'){filters} }}}}{{%- endmacro %}}{{{{- '' }}}}{source}"


def _format_date(code: str) -> str:
    return str(TEMPLATE_DATE.day) if code == "e" else TEMPLATE_DATE.strftime(f"%{code}")
