"""From conversations to tokens. Text from the data can never become a control token, whatever it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trimtab.types import Message, Prompt, Role

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Private-use characters: no chat template writes them, and a text that holds them is encoded like any other.
_SENTINEL = "\ue0f0{}\ue0f1"


@dataclass(frozen=True, slots=True)
class ChatTokenizer:
    """A tokenizer with its chat template: encodes prompts up to where the answer begins, and responses with their end.

    Control tokens come from the template alone: the messages' own texts are encoded with `split_special_tokens`, so
    `<|im_end|>` inside a message is six harmless tokens.
    """

    tokenizer: PreTrainedTokenizerBase
    end_of_turn_ids: tuple[int, ...]
    system: str | None = None
    control_ids_by_roles: dict[tuple[Role, ...], list[list[int]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, system: str | None = None) -> ChatTokenizer:
        """Finds what ends an assistant's turn by rendering one; the end-of-text token where the template writes nothing."""
        marker = _SENTINEL.format("end")
        text = _render_template(tokenizer, (("user", "x"), ("assistant", marker)), answer=False)
        tail = text.split(marker)[1].strip() if marker in text else ""
        ids = tuple(tokenizer.encode(tail, add_special_tokens=False)) or (int(tokenizer.eos_token_id),)
        return cls(tokenizer=tokenizer, end_of_turn_ids=ids, system=system)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: the first of what ends a turn, and the end of text."""
        return tuple({self.end_of_turn_ids[0], int(self.tokenizer.eos_token_id)})

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """The conversation as the model reads it, ending where its answer begins."""
        if self.system is not None and prompt[0].role != "system":
            prompt = (Message(role="system", content=self.system), *prompt)
        first, *rest = self._control_ids(tuple(message.role for message in prompt))
        ids = list(first)
        for message, control in zip(prompt, rest, strict=True):
            ids += self.encode_text(message.content.strip()) + control
        return ids

    def _control_ids(self, roles: tuple[Role, ...]) -> list[list[int]]:
        """What the template writes before, between and after the messages of these roles; rendered once for each pattern."""
        if roles not in self.control_ids_by_roles:
            marks = [_SENTINEL.format(place) for place in range(len(roles))]
            text = _render_template(self.tokenizer, list(zip(roles, marks, strict=True)), answer=True)
            pieces = []
            for role, mark in zip(roles, marks, strict=True):
                before, found, text = text.partition(mark)
                if not found:
                    raise ValueError(f"the chat template leaves out the {role} turn; set `chat_template: trimtab`")
                pieces.append(self._encode_control(before))
            self.control_ids_by_roles[roles] = [*pieces, self._encode_control(text)]
        return self.control_ids_by_roles[roles]

    def encode_response(self, response: str) -> list[int]:
        """The response and the end of its turn."""
        return self.encode_text(response.strip()) + list(self.end_of_turn_ids)

    def _encode_control(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def encode_text(self, text: str) -> list[int]:
        """The text alone, in which nothing is a control token."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def _render_template(tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str]], *, answer: bool) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer))
