"""Conversations with tools: rendered by the chat template as they are, after a check that the template omits no part of them.

Other conversations are encoded piece by piece (`ChatLayout`). A template formats tool calls and results in ways of its own, so
here the whole text is the template's, and texts of the data that contain control tokens are rejected.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.errors import ModelError, ToolCallError
from trimtab.models.chat_layout import ChatLayout, render_messages
from trimtab.models.chat_messages import ChatMessages, build_chat_messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REMEDY = "set `chat_template` to the path of a Jinja file that renders tool calls, tool results and tool definitions"
_ANSWER = "\ue0f0answer\ue0f1"
_PROBE = "Trimtab{}Probe"
_PROBE_PATTERN = re.compile(r"Trimtab(\d+)Probe")

Turns = Sequence[tuple[str, str]]


def render_tool_prompt(
    tokenizer: PreTrainedTokenizerBase, turns: Turns, answer: ChatLayout, controls: re.Pattern[str]
) -> str:
    """The text of the conversation up to the lead of an answer. `answer` is the layout of one user turn.

    Raises `ToolCallError` if the template rejects the conversation, omits a part of it, or ends it differently.
    """
    text = render_tool_conversation(tokenizer, build_chat_messages([*turns, ("assistant", _ANSWER)]), controls)
    before, _, tail = text.partition(_ANSWER)
    prefix = before.rstrip(" ")
    if (before[len(prefix) :], tail) != (answer.lead, answer.tail):
        raise ToolCallError(
            f"{tokenizer.name_or_path}: the chat template ends a conversation with tools differently from other "
            f"conversations; {_REMEDY}"
        )
    return prefix


def render_tool_response(
    tokenizer: PreTrainedTokenizerBase, response: str, answer: ChatLayout, controls: re.Pattern[str]
) -> str:
    """The text of a response with tool calls, after `answer_prefix`, with everything that the template writes after it.

    Raises `ToolCallError` if the template rejects or omits the calls, or starts such a turn differently from other answers.
    """
    question = ("user", "Hi")
    prefix = render_messages(tokenizer, build_chat_messages([question, ("assistant", _ANSWER)])).partition(_ANSWER)[0]
    text = render_tool_conversation(tokenizer, build_chat_messages([question, ("assistant", response)]), controls)
    if not text.startswith(prefix.rstrip(" ")):
        raise ToolCallError(
            f"{tokenizer.name_or_path}: the chat template starts a turn with a tool call differently from other answers; "
            f"{_REMEDY}"
        )
    return text[len(prefix.rstrip(" ")) :]


def _require_all_parts(tokenizer: PreTrainedTokenizerBase, chat: ChatMessages) -> None:
    """Raises `ToolCallError` if the template rejects the conversation, or omits a turn, a tool call or a tool."""
    probes, names = _replace_texts(chat)
    text = _render_or_reject(tokenizer, probes)
    found = {int(index) for index in _PROBE_PATTERN.findall(text)}
    missing = next((name for index, name in enumerate(names) if index not in found), None)
    if missing is not None:
        raise ToolCallError(
            f"{tokenizer.name_or_path}: the chat template omits {missing} from a conversation with tools; {_REMEDY}"
        )


def _replace_texts(chat: ChatMessages) -> tuple[ChatMessages, list[str]]:
    """The conversation with a numbered word for every text that must be rendered, and what each of these texts is."""
    messages, tools = copy.deepcopy(chat.messages), copy.deepcopy(chat.tools)
    names: list[str] = []

    def replace(name: str) -> str:
        names.append(name)
        return _PROBE.format(len(names) - 1)

    for tool in tools or []:
        tool.get("function", tool)["name"] = replace("the definition of a tool")
    for message in messages:
        if message["content"]:
            message["content"] = replace(f"the text of the {message['role']} turn")
        for call in message.get("tool_calls", ()):
            arguments = {replace("the arguments of a tool call"): replace("the arguments of a tool call")}
            call["function"] = {"name": replace("a tool call"), "arguments": arguments}
    return ChatMessages(messages, tools), names


def render_tool_conversation(tokenizer: PreTrainedTokenizerBase, chat: ChatMessages, controls: re.Pattern[str]) -> str:
    """The text of a conversation with tools.

    Raises `ToolCallError` if the template rejects it or omits a part of it, or if a text of it contains a control token.
    """
    for text in _iter_texts([chat.messages, chat.tools]):
        if match := controls.search(text):
            raise ToolCallError(
                f"{tokenizer.name_or_path}: a text of a conversation with tools contains the control token {match.group()!r}"
            )
    _require_all_parts(tokenizer, chat)
    return _render_or_reject(tokenizer, chat)


def _render_or_reject(tokenizer: PreTrainedTokenizerBase, chat: ChatMessages) -> str:
    try:
        return render_messages(tokenizer, chat)
    except ModelError as error:
        raise ToolCallError(
            f"{tokenizer.name_or_path}: the chat template rejects a conversation with tools: {error.__cause__}; {_REMEDY}"
        ) from error


def _iter_texts(value: Any) -> Iterator[str]:
    """All texts in nested lists and objects, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (key, *_iter_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _iter_texts(item)
