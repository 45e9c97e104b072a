"""Encode conversations as tokens. Text from the data can never become a control token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trimtab.types import Message, Prompt, Role

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Private-use characters that no chat template writes. A message that contains them is encoded like any other text.
_SENTINEL = "\ue0f0{}\ue0f1"


@dataclass(frozen=True, slots=True)
class ChatTokenizer:
    """A tokenizer with its chat template: encodes prompts up to the start of the response, and responses with their end.

    Control tokens come from the template only. Message texts are encoded with `split_special_tokens`, so `<|im_end|>`
    inside a message becomes six ordinary tokens.
    """

    tokenizer: PreTrainedTokenizerBase
    end_of_turn_ids: tuple[int, ...]
    system: str | None = None
    control_ids_by_roles: dict[tuple[Role, ...], list[list[int]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, system: str | None = None) -> ChatTokenizer:
        """Find the tokens that end an assistant turn by rendering one; the EOS token if the template writes nothing."""
        marker = _SENTINEL.format("end")
        text = _render_template(tokenizer, (("user", "x"), ("assistant", marker)), add_generation_prompt=False)
        tail = text.split(marker)[1].strip() if marker in text else ""
        ids = tuple(tokenizer.encode(tail, add_special_tokens=False)) or (int(tokenizer.eos_token_id),)
        return cls(tokenizer=tokenizer, end_of_turn_ids=ids, system=system)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Tokens that end a response: the first end-of-turn token and the EOS token."""
        return tuple({self.end_of_turn_ids[0], int(self.tokenizer.eos_token_id)})

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """Token ids of the conversation, up to the position where the model's response begins."""
        if self.system is not None and prompt[0].role != "system":
            prompt = (Message(role="system", content=self.system), *prompt)
        first, *rest = self._control_ids(tuple(message.role for message in prompt))
        ids = list(first)
        for message, control in zip(prompt, rest, strict=True):
            ids += self.encode_text(message.content.strip()) + control
        return ids

    def _control_ids(self, roles: tuple[Role, ...]) -> list[list[int]]:
        """The tokens that the template writes before, between and after messages with these roles. Rendered once per
        sequence of roles."""
        if roles not in self.control_ids_by_roles:
            marks = [_SENTINEL.format(index) for index in range(len(roles))]
            text = _render_template(self.tokenizer, list(zip(roles, marks, strict=True)), add_generation_prompt=True)
            pieces = []
            for role, mark in zip(roles, marks, strict=True):
                before, separator, text = text.partition(mark)
                if not separator:
                    raise ValueError(f"the chat template omits the {role} turn; set `chat_template: trimtab`")
                pieces.append(self._encode_control(before))
            self.control_ids_by_roles[roles] = [*pieces, self._encode_control(text)]
        return self.control_ids_by_roles[roles]

    def encode_response(self, response: str) -> list[int]:
        """Token ids of the response and its end of turn."""
        return self.encode_text(response.strip()) + list(self.end_of_turn_ids)

    def _encode_control(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def encode_text(self, text: str) -> list[int]:
        """Token ids of the text alone, without any control token."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the tokens without control tokens and without surrounding white space."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def _render_template(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[tuple[str, str]], *, add_generation_prompt: bool
) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt))
