"""Encode conversations as tokens, exactly as the model's chat template renders them. Text from the data can never become a
control token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trimtab.core.tool_calls import split_tool_calls
from trimtab.errors import ModelError, ToolCallError
from trimtab.models.chat_layout import (
    REMEDY,
    ChatLayout,
    build_layout,
    describe_generation_prompt,
    render_messages,
)
from trimtab.models.chat_messages import build_chat_messages
from trimtab.models.tool_rendering import render_tool_conversation, render_tool_prompt, render_tool_response
from trimtab.types import Message, Prompt, Role

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ONE_TURN: tuple[Role, ...] = ("user",)
_SEVERAL_TURNS: tuple[Role, ...] = ("user", "assistant", "user")
_SYSTEM_TURN: tuple[Role, ...] = ("system", "user")
# Texts that start and end with different kinds of characters, because these merge with what precedes or follows them.
_CHECKED_TEXTS = (("Name a color.", "Blue."), ("who", "me"), ("(1) Is it 7?", "2 of them!"), ("- a\n- b", "* c)"))

# The mark by which templates find the reasoning in an answer, to leave it out or to write it in their own form.
END_OF_REASONING = "</think>"

# A line between turns that no sentence contains: not a word such as `user`.
_TURN_MARKER = re.compile(r"(?=.*[^\w\s]).{2,40}")


@dataclass(frozen=True, slots=True)
class ChatTokenizer:
    """A tokenizer with its chat template: encodes prompts up to the start of the response, and responses with their end.

    A prompt is what the template writes before an answer, not its generation prompt, so that training, scoring and
    generation use the same form. Message texts are stripped. Control tokens come from the template only: `<|im_end|>` inside
    a message becomes six ordinary tokens. `note` says how the template's generation prompt differs, if it does.
    """

    tokenizer: PreTrainedTokenizerBase
    end_of_turn_ids: tuple[int, ...]
    answer: ChatLayout
    answer_prefix_ids: tuple[int, ...]
    control_ids: frozenset[int] = field(repr=False)
    control_pattern: re.Pattern[str] = field(repr=False)
    marks_first_text_only: bool
    system: str | None = None
    note: str | None = None
    layouts: dict[tuple[Role, ...], ChatLayout] = field(default_factory=dict, repr=False, compare=False)
    control_counts: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, system: str | None = None) -> ChatTokenizer:
        """Find the template's layout, and compare the resulting tokens with the template's own rendering.

        Raises `ModelError` if they differ, or if the template cannot render one user turn with its answer. A template that
        cannot render several turns or a system turn is rejected when a prompt has them.
        """
        answer = build_layout(tokenizer, _ONE_TURN)
        controls = find_control_tokens(tokenizer)
        chat = cls(
            tokenizer=tokenizer,
            end_of_turn_ids=_find_end_of_turn(tokenizer, answer.tail),
            answer=answer,
            answer_prefix_ids=tuple(tokenizer.encode(answer.answer_prefix, add_special_tokens=False)),
            control_ids=frozenset(controls),
            control_pattern=_compile_control_pattern(controls.values()),
            marks_first_text_only=_marks_first_text_only(tokenizer),
            system=system,
            note=describe_generation_prompt(tokenizer, answer),
        )
        _verify_tokens(chat)
        return chat

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Tokens that end a response: the token that ends a turn and the EOS token."""
        return tuple({self.end_of_turn_ids[-1], int(self.tokenizer.eos_token_id)})

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """Token ids of the conversation, up to the start of the model's response.

        Raises `ModelError` if the template cannot render a conversation with these roles, and `ToolCallError` if it cannot
        render the tool calls, results or definitions in it.
        """
        prompt = self._add_system(prompt)
        turns = [(message.role, message.content.strip()) for message in prompt]
        if build_chat_messages(turns).has_tools:
            return self._encode(render_tool_prompt(self.tokenizer, turns, self.answer, self.control_pattern))
        layout = self.find_layout(tuple(message.role for message in prompt))
        return self._encode_pieces(layout.pieces([content for _, content in turns]))

    def find_turn_markers(self) -> tuple[str, ...]:
        """What the template writes between turns in plain text, such as `### User:`: a message can imitate these texts."""
        try:
            controls = self.find_layout(_SEVERAL_TURNS).controls[1:]
        except ModelError:
            controls = self.answer.controls[1:]
        parts = (part for text in controls for part in self.control_pattern.split(text))
        lines = (
            line.strip() for part in parts if not self.control_pattern.fullmatch(part) for line in part.split("\n")
        )
        return tuple(dict.fromkeys(line for line in lines if _TURN_MARKER.fullmatch(line)))

    def _add_system(self, prompt: Prompt) -> Prompt:
        """The prompt with the system turn of the settings, after the tools, unless it has one."""
        if self.system is None or any(message.role == "system" for message in prompt):
            return prompt
        index = 1 if prompt[0].role == "tools" else 0
        return (*prompt[:index], Message(role="system", content=self.system), *prompt[index:])

    def find_layout(self, roles: tuple[Role, ...]) -> ChatLayout:
        """The text that the template adds around messages with these roles. It is rendered once per sequence of roles.

        Raises `ModelError` if the template rejects such a conversation, omits a message, or ends its answer differently.
        """
        if roles not in self.layouts:
            layout = build_layout(self.tokenizer, roles)
            if (layout.lead, layout.tail) != (self.answer.lead, self.answer.tail):
                raise ModelError(
                    f"{self.tokenizer.name_or_path}: the chat template ends a conversation with the turns {', '.join(roles)} "
                    f"with {layout.lead!r} and {layout.tail!r} around the answer, and one user turn with "
                    f"{self.answer.lead!r} and {self.answer.tail!r}; {REMEDY}"
                )
            self.layouts[roles] = layout
        return self.layouts[roles]

    def encode_response(self, response: str) -> list[int]:
        """Token ids of the response and its end of turn.

        Raises `ToolCallError` if the template cannot render the response's tool calls.
        """
        if split_tool_calls(response.strip())[1]:
            return self._encode_tool_calls(response.strip())
        return self.encode_text(response.strip()) + list(self.end_of_turn_ids)

    def encode_text(self, text: str) -> list[int]:
        """Token ids of the text as the start of a response, without its end of turn and without any control token."""
        if not text:
            return []
        start, continued = len(self.answer_prefix_ids), self.answer.lead + text
        ids = self._encode_pieces([(self.answer.answer_prefix, True), (continued, False)])
        if tuple(ids[:start]) == self.answer_prefix_ids:
            return ids[start:]
        # A model that generates cannot merge its first token with the prompt's last one, so neither does this.
        return self._encode_continuation(continued)

    def _encode_tool_calls(self, response: str) -> list[int]:
        """Token ids of a response with tool calls, up to the token that ends the turn."""
        text = render_tool_response(self.tokenizer, response, self.answer, self.control_pattern)
        start, ids = len(self.answer_prefix_ids), self._encode(self.answer.answer_prefix + text)
        if not self.answer.tail.strip():
            ids.append(int(self.tokenizer.eos_token_id))
        ends = [index for index, token in enumerate(ids) if index >= start and token in self.stop_token_ids]
        if tuple(ids[:start]) != self.answer_prefix_ids or not ends:
            raise ToolCallError(
                f"{self.tokenizer.name_or_path}: the chat template ends a turn with a tool call with no token at which "
                f"generation stops, or joins it with the prompt; {REMEDY}"
            )
        return ids[start : ends[0] + 1]

    def require_own_rendering(self, prompt: Prompt, response: str) -> None:
        """Raise `ModelError` if the tokens of a prompt and response are not those of the template's own rendering.

        The error is a `ToolCallError` if the conversation has tools or reasoning.
        """
        turns = [(message.role, message.content.strip()) for message in self._add_system(prompt)]
        chat = build_chat_messages([*turns, ("assistant", response.strip())])
        text = (
            render_tool_conversation(self.tokenizer, chat, self.control_pattern)
            if chat.has_tools
            else render_messages(self.tokenizer, chat)
        )
        expected = self._encode(text)
        actual = self.encode_prompt(prompt) + self.encode_response(response)
        compared = actual if self.answer.tail.strip() else actual[:-1]
        if compared == expected[: len(compared)]:
            return
        if not chat.has_tools and has_reasoning([content for _, content in turns] + [response]):
            raise ToolCallError(
                f"{self.tokenizer.name_or_path}: the chat template leaves out the reasoning in an answer (up to "
                f"{END_OF_REASONING}), or writes it in another form than the data; remove it from the data, or {REMEDY}"
            )
        start = next(i for i, token in enumerate(compared) if expected[i : i + 1] != [token])
        shown = [self.tokenizer.convert_ids_to_tokens(ids[start : start + 4]) for ids in (compared, expected)]
        raise (ToolCallError if chat.has_tools else ModelError)(
            f"{self.tokenizer.name_or_path}: the chat template cannot be split into prompt and response. For the turns "
            f"{', '.join(role for role, _ in turns)}, assistant, token {start} and the next are {shown[0]}, but {shown[1]} in "
            f"the template's own rendering; {REMEDY}"
        )

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the tokens without control tokens and without surrounding white space.

        Spaces before punctuation stay, although some tokenizers are configured to remove them.
        """
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        ).strip()

    def _encode_pieces(self, pieces: Sequence[tuple[str, bool]]) -> list[int]:
        """Token ids of the joined texts. Only texts marked as control can become control tokens."""
        ids = self._encode("".join(text for text, _ in pieces))
        controls = "".join(text for text, is_control in pieces if is_control)
        if controls not in self.control_counts:
            self.control_counts[controls] = self._count_controls(self._encode(controls))
        if self._count_controls(ids) == self.control_counts[controls]:
            return ids
        return self._encode_separately(pieces)

    def _encode_separately(self, pieces: Sequence[tuple[str, bool]]) -> list[int]:
        """Like `_encode_pieces`, for messages that contain the text of control tokens: the texts between the template's
        control tokens are encoded one by one, as the tokenizer itself does."""
        runs: list[int | str] = [""]
        for text, is_control in pieces:
            for part in self.control_pattern.split(text) if is_control else [text]:
                if is_control and self.control_pattern.fullmatch(part):
                    runs += [int(self.tokenizer.convert_tokens_to_ids(part)), ""]
                else:
                    runs[-1] = f"{runs[-1]}{part}"
        ids: list[int] = []
        for index, run in enumerate(runs):
            if isinstance(run, int):
                ids.append(run)
            elif text := self._strip_next_to_controls(run, runs, index):
                marked = index == 0 or not self.marks_first_text_only
                ids += self._encode_plain(text) if marked else self._encode_continuation(text)
        return ids

    def _strip_next_to_controls(self, text: str, runs: Sequence[int | str], index: int) -> str:
        """The text without the white space that the control tokens around it include."""
        added = self.tokenizer.added_tokens_decoder
        if index > 0 and added[runs[index - 1]].rstrip:
            text = text.lstrip()
        if index + 1 < len(runs) and added[runs[index + 1]].lstrip:
            text = text.rstrip()
        return text

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _encode_plain(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def _encode_continuation(self, text: str) -> list[int]:
        """Token ids of a text that follows another one: without the space mark that some tokenizers prepend."""
        before, ids = self._encode_plain("\n"), self._encode_plain("\n" + text)
        return ids[len(before) :] if ids[: len(before)] == before else self._encode_plain(text)

    def _count_controls(self, ids: Sequence[int]) -> int:
        return sum(token in self.control_ids for token in ids)


def has_reasoning(texts: Iterable[str]) -> bool:
    """Whether a text has reasoning that chat templates treat differently from other text."""
    return any(END_OF_REASONING in text for text in texts)


def find_control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The special tokens, by id: the tokens that text from the data never becomes."""
    special = {index: token.content for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return special | {index: tokenizer.convert_ids_to_tokens(index) for index in tokenizer.all_special_ids}


def _compile_control_pattern(tokens: Iterable[str]) -> re.Pattern[str]:
    """A pattern that splits a text at these tokens, the longest first, and keeps them."""
    return re.compile(f"({'|'.join(map(re.escape, sorted(tokens, key=len, reverse=True)))})")


def _marks_first_text_only(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer encodes a text at the start differently from one after a control token."""
    ids = tokenizer.encode(f"{tokenizer.eos_token}x", add_special_tokens=False)
    return list(ids[1:]) != list(tokenizer.encode("x", add_special_tokens=False))


def _find_end_of_turn(tokenizer: PreTrainedTokenizerBase, tail: str) -> tuple[int, ...]:
    """The tokens after an answer, up to the control token that ends the turn; the EOS token if the template writes nothing.

    Raises `ModelError` if the template ends a turn with plain text, at which generation could not stop.
    """
    if not tail.strip():
        return (int(tokenizer.eos_token_id),)
    text, ids = (list(tokenizer.encode(part, add_special_tokens=False)) for part in ("x", "x" + tail))
    ids = ids[len(text) :] if ids[: len(text)] == text else list(tokenizer.encode(tail, add_special_tokens=False))
    special = find_control_tokens(tokenizer)
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}
    for ends in (special, added):
        position = next((position for position, token in enumerate(ids) if token in ends), None)
        if position is not None:
            return tuple(ids[: position + 1])
    raise ModelError(
        f"{tokenizer.name_or_path}: the chat template ends an answer with {tail!r}, which contains no control token of the "
        f"tokenizer, so generation could not stop there; {REMEDY}"
    )


def _verify_tokens(chat: ChatTokenizer) -> None:
    """Compare prompts and responses with the template's own rendering of the conversation.

    Raises `ModelError` if the tokens differ. Conversations that the template rejects are skipped, except one user turn.
    """
    for roles in (_ONE_TURN, _SEVERAL_TURNS, _SYSTEM_TURN):
        for user, assistant in _CHECKED_TEXTS:
            prompt = tuple(Message(role=role, content=assistant if role == "assistant" else user) for role in roles)
            prompt = chat._add_system(prompt)
            try:
                chat.find_layout(tuple(message.role for message in prompt))
            except ModelError:
                if roles == _ONE_TURN:
                    raise
                break
            chat.require_own_rendering(prompt, assistant)
