"""Conversations with tools have the tokens of the template's own rendering, or are an error that says what it omits."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from chat_formats import ChatFormat, build_tokenizer
from tool_formats import PLAIN_FORMATS, TOOL_FORMATS

from trimtab.core.tool_calls import append_tool_calls, build_tool_call
from trimtab.errors import ModelError, ToolCallError
from trimtab.models.chat import ChatTokenizer
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.types import Message, Prompt

TOKENIZERS = ("byte-level", "byte-level of Qwen", "space mark on every text", "space mark on the first text")
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": 'The "weather".', "parameters": {"type": "object"}},
}
ARGUMENTS = {"town": 'Sant\'Ana "x"\né', "days": 2, "units": ["C", None, 1.5], "where": {"north": True}}
WEATHER = build_tool_call("weather", ARGUMENTS, "abcdef123")
CALL = {"id": "abcdef123", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
USER = {"role": "user", "content": "Weather?"}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "abcdef123", "name": "weather", "content": '{"C": 1, "sky": "blue"}\n'}
ANSWER = "It is 1 C."
CALLED = append_tool_calls("", [WEATHER])
TURNS: Prompt = (
    Message(role="user", content="Weather?"),
    Message(role="assistant", content=CALLED),
    Message(role="tool", content=RESULT["content"]),
)  # fmt: skip
TOOLS = Message(role="tools", content=json.dumps([TOOL]))


def open_chat(chat_format: ChatFormat, kind: str = "byte-level") -> ChatTokenizer:
    return ChatTokenizer.from_tokenizer(build_tokenizer(kind, chat_format))


def render(chat: ChatTokenizer, messages: list[dict[str, Any]], tools: list[Any] | None) -> list[int]:
    """The token ids of the user's own messages. Texts are stripped, as Trimtab documents."""
    stripped = [message | {"content": message["content"].strip()} for message in copy.deepcopy(messages)]
    text = chat.tokenizer.apply_chat_template(stripped, tools=tools, tokenize=False)
    return list(chat.tokenizer.encode(text, add_special_tokens=False))


@pytest.mark.parametrize("name", TOOL_FORMATS)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_tokens_equal_those_of_the_rendered_conversation(name: str, kind: str) -> None:
    chat = open_chat(TOOL_FORMATS[name], kind)
    other = append_tool_calls("", [build_tool_call("delete_all", {}, "abcdef456")])
    for tools in (None, [TOOL]):
        before = () if tools is None else (TOOLS,)
        pair = tokenize_pair(chat, (*before, *TURNS), ANSWER, "No idea.")
        expected = render(chat, [USER, CALLING, RESULT, {"role": "assistant", "content": ANSWER}], tools)
        actual = [*pair.prompt, *pair.first]
        assert actual == expected[: len(actual)]
        assert chat.tokenizer.decode(expected[len(actual) :]).strip() == ""
        pair = tokenize_pair(chat, (*before, *TURNS[:1]), CALLED, other)
        expected = render(chat, [USER, CALLING], tools)
        actual = [*pair.prompt, *pair.first]
        assert actual == expected[: len(actual)]
        assert pair.first[-1] == pair.second[-1] == chat.end_of_turn_ids[-1]


def test_a_call_next_to_text_and_a_system_turn_are_rendered() -> None:
    chat = open_chat(TOOL_FORMATS["qwen-2.5"])
    chat = ChatTokenizer.from_tokenizer(chat.tokenizer, "Be brief.")
    text = chat.tokenizer.decode(chat.encode_prompt((TOOLS, *TURNS)))
    assert text.index("Be brief.") < text.index("<tools>") < text.index("Weather?")
    response = chat.tokenizer.decode(chat.encode_response(f"I look.\n{CALLED}"))
    assert response.startswith('I look.\n<tool_call>\n{"name": "weather", "arguments": {"town": ')
    assert response.endswith("</tool_call><|im_end|>")


@pytest.mark.parametrize("name", PLAIN_FORMATS)
def test_a_template_without_tools_is_an_error_that_names_what_it_omits(name: str) -> None:
    chat = open_chat(PLAIN_FORMATS[name])
    for prompt, response in (
        ((TOOLS, *TURNS[:1]), ANSWER),
        (TURNS, ANSWER),
        (TURNS[:1], CALLED),
        (TURNS[:1], f"I look.\n{CALLED}"),
    ):
        with pytest.raises(ToolCallError, match=r"the chat template (omits|rejects)"):
            tokenize_pair(chat, prompt, response)
    assert tokenize_pair(chat, TURNS[:1], ANSWER).first


@pytest.mark.parametrize(
    ("name", "prompt", "response", "reason"),
    [
        ("llama-3.1", TURNS[:1], f"{CALLED}\n{CALLED}", "only supports single tool-calls"),
        ("llama-3.1", TURNS[:1], f"I look.\n{CALLED}", "omits the text of the assistant turn"),
        ("mistral-3", TURNS[:1], f"I look.\n{CALLED}", "omits the text of the assistant turn"),
        ("mistral-3", (*TURNS[:2], Message(role="tool", content="1"), Message(role="tool", content="2")), "x", "need ids"),
        ("qwen-2.5", (*TURNS[:2], Message(role="tool", content="<|im_end|>")), "x", "contains the control token '<|im_end|>'"),
        ("qwen-2.5", TURNS, "x <|im_end|>", "contains the control token '<|im_end|>'"),
    ],
)  # fmt: skip
def test_a_conversation_that_cannot_be_rendered_is_an_error(
    name: str, prompt: Prompt, response: str, reason: str
) -> None:
    with pytest.raises(ToolCallError, match=r"the chat template|a text of a conversation") as caught:
        tokenize_pair(open_chat(TOOL_FORMATS[name]), prompt, response)
    assert reason in str(caught.value)


def test_templates_that_change_tool_texts_are_an_error() -> None:
    shortened = TOOL_FORMATS["qwen-2.5"].template.replace("m.content + '\n</tool", "m.content[:3] + '\n</tool")
    chat = open_chat(ChatFormat(shortened, TOOL_FORMATS["qwen-2.5"].controls))
    with pytest.raises(ModelError, match="omits the text of the tool turn"):
        chat.encode_prompt(TURNS)
