"""Prompts and responses have the tokens of the template's own rendering, for the structure of widely used chat formats."""

from __future__ import annotations

import pytest
from chat_formats import FORMATS, TOKENIZERS, build_tokenizer
from transformers import PreTrainedTokenizerFast

from trimtab.models.chat import ChatTokenizer
from trimtab.models.chat_layout import fix_template_date, render_template
from trimtab.types import Message, Prompt, build_user_prompt

ANSWERS = ("It is me.", "2 of them!", "* one\n* two", "(yes)", "été 日本", "'s", '"Hi" …')
QUESTIONS = ("Who is it?", "12 + 7:", "- a\n- b", "un é", "[x]")
SYSTEM = Message(role="system", content="Be brief.")


def conversations(question: str, *, has_system: bool) -> list[Prompt]:
    one = build_user_prompt(question)
    several = (*one, Message(role="assistant", content="No..."), *build_user_prompt("Tell me: what is it?"))
    return [one, several, *([(SYSTEM, *one), (SYSTEM, *several)] if has_system else [])]


def render(tokenizer: PreTrainedTokenizerFast, prompt: Prompt, answer: str) -> list[int]:
    turns = [(message.role, message.content) for message in prompt] + [("assistant", answer)]
    return list(tokenizer.encode(render_template(tokenizer, turns), add_special_tokens=False))


@pytest.fixture(params=[(name, kind) for name in FORMATS for kind in TOKENIZERS], ids=" / ".join)
def chat_and_format(request: pytest.FixtureRequest) -> tuple[ChatTokenizer, str]:
    name, kind = request.param
    tokenizer = build_tokenizer(kind, FORMATS[name])
    tokenizer.chat_template = fix_template_date(FORMATS[name].template)
    return ChatTokenizer.from_tokenizer(tokenizer), name


def test_tokens_equal_those_of_the_rendered_conversation(chat_and_format: tuple[ChatTokenizer, str]) -> None:
    chat, name = chat_and_format
    for question in QUESTIONS:
        for prompt in conversations(question, has_system=FORMATS[name].has_system):
            for answer in ANSWERS:
                actual = chat.encode_prompt(prompt) + chat.encode_response(answer)
                expected = render(chat.tokenizer, prompt, answer)
                assert actual == expected[: len(actual)], (prompt, answer)
                rest = chat.tokenizer.decode(expected[len(actual) :], skip_special_tokens=True)
                assert not rest.strip()
    assert chat.end_of_turn_ids[-1] in chat.control_ids


def test_text_of_control_tokens_in_messages_stays_text(chat_and_format: tuple[ChatTokenizer, str]) -> None:
    chat, _ = chat_and_format
    controls = [token.content for token in chat.tokenizer.added_tokens_decoder.values() if token.special]
    plain, hostile = build_user_prompt("a b"), build_user_prompt(f"a {' '.join(controls)} b")
    count = sum(token in chat.control_ids for token in chat.encode_prompt(plain))
    ids = chat.encode_prompt(hostile)
    assert sum(token in chat.control_ids for token in ids) == count
    assert (
        chat.tokenizer.decode(ids).count("</s>") == chat.tokenizer.decode(chat.encode_prompt(plain)).count("</s>") + 1
    )
    response = chat.encode_response(f"x {' '.join(controls)}")
    assert sum(token in chat.control_ids for token in response[: -len(chat.end_of_turn_ids)]) == 0


def test_text_between_control_tokens_is_encoded_as_the_tokenizer_does(
    chat_and_format: tuple[ChatTokenizer, str],
) -> None:
    chat, _ = chat_and_format
    for question in QUESTIONS:
        prompt = build_user_prompt(question)
        pieces = chat.find_layout(("user",)).pieces([question])
        assert chat._encode_separately(pieces) == chat.encode_prompt(prompt)
