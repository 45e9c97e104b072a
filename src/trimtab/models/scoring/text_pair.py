"""Text pairs: the input of classifiers that read a question and an answer, such as DeBERTa reward models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from trimtab.errors import ModelError
from trimtab.types import Prompt

# What happens to a text that is longer than the model's maximum length.
Truncation = Literal["fail", "prompt_start"]
# The names of the speakers in HH's transcripts.
_SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}


@dataclass(frozen=True, slots=True)
class EncodedTextPair:
    """The tensors of one text pair, shape (1, tokens), and how many tokens of the question were dropped from its start."""

    tensors: Any
    dropped: int


def format_question(prompt: Prompt) -> str:
    """The question of a text pair: the text of a single user turn, or the transcript of several turns, as in HH."""
    if len(prompt) == 1 and prompt[0].role == "user":
        return prompt[0].content.strip()
    return "\n\n".join(f"{_SPEAKERS[message.role]}: {message.content.strip()}" for message in prompt)


def encode_text_pair(
    tokenizer: Any, question: str, answer: str, max_length: int | None, truncation: Truncation
) -> EncodedTextPair:
    """Tokenize `question` and `answer` as `tokenizer(question, answer)`. No text becomes a special token.

    Raises `ModelError` if the pair has more than `max_length` tokens: always with `truncation="fail"`, and with
    `prompt_start` if the answer alone leaves no room for a token of the question.
    """
    options = {"return_tensors": "pt", "split_special_tokens": True, "verbose": False}
    tensors = tokenizer(question, answer, **options)
    length = tensors["input_ids"].shape[1]
    if max_length is None or length <= max_length:
        return EncodedTextPair(tensors, dropped=0)
    excess = f"{length} tokens, but the reward model's maximum length is {max_length}"
    if truncation == "fail":
        raise ModelError(excess)
    question_length = len(tokenizer(question, add_special_tokens=False, **options)["input_ids"][0])
    if length - max_length >= question_length:
        raise ModelError(f"{excess}, and {length - question_length} tokens are not the prompt's")
    tokenizer.truncation_side = "left"
    tensors = tokenizer(question, answer, truncation="only_first", max_length=max_length, **options)
    return EncodedTextPair(tensors, dropped=length - tensors["input_ids"].shape[1])
