"""Batches of pairs: one prompt, then both responses as branches that cannot attend to each other.

The tokens of a pair are `prompt · a · b`. Positions restart after the prompt for `b`, and `b` does not attend to `a`. Each
response is computed exactly as if it alone followed the prompt, and the prompt is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trimtab.models.chat import ChatTokenizer, has_reasoning
from trimtab.models.chat_messages import build_chat_messages
from trimtab.storage.disk_sequence import map_values
from trimtab.types import Prompt

if TYPE_CHECKING:
    import torch

PROMPT, FIRST, SECOND, PADDING = 0, 1, 2, 3

# The minimum length of a common prompt prefix for packed rows to store it once. A shorter prefix saves less time than the
# additional attention products take. The system prompt in SmolLM2's template has 24 tokens.
MIN_SHARED_TOKENS = 16

# How pairs are arranged in a batch. packed: one row of concatenated pairs without padding; padded: one padded row per pair;
# separate: one padded row per response.
BatchLayout = Literal["packed", "padded", "separate"]


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """Token ids of one prompt and of one or two responses to it. `second` is empty if there is only one."""

    prompt: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.first) + len(self.second)

    @property
    def max_text_length(self) -> int:
        """Tokens of the prompt with the longer response. Length limits apply to this number."""
        return len(self.prompt) + max(len(self.first), len(self.second))


def tokenize_pair(chat: ChatTokenizer, prompt: Prompt, first: str, second: str | None = None) -> TokenizedPair:
    """Tokenize a prompt and one or two responses, each with its end of turn.

    Raises `ToolCallError` if the chat template cannot render the tool calls, results or definitions among them, or renders the
    reasoning in one of two responses differently. A single response, which a model may have sampled, keeps its reasoning.
    """
    turns = [(message.role, message.content) for message in prompt]
    responses = [first] if second is None else [first, second]
    is_pair_with_reasoning = second is not None and has_reasoning([*(content for _, content in turns), *responses])
    for response in responses:
        if is_pair_with_reasoning or build_chat_messages([*turns, ("assistant", response)]).has_tools:
            chat.require_own_rendering(prompt, response)
    encoded = [tuple(chat.encode_response(response)) for response in responses]
    return TokenizedPair(tuple(chat.encode_prompt(prompt)), *encoded)


def common_prefix_length(texts: Sequence[Sequence[int]]) -> int:
    """The length of the longest common prefix after which every text still has at least one token."""
    low, high = min(map(tuple, texts)), max(map(tuple, texts))
    limit = max(0, min(map(len, texts)) - 1)
    return next((index for index in range(limit) if low[index] != high[index]), limit)


def shared_prompt_length(pairs: Sequence[TokenizedPair]) -> int:
    """The length of the common prompt prefix that packed rows store once. 0 if it is too short to save time."""
    length = common_prefix_length(map_values(pairs, lambda pair: pair.prompt)) if len(pairs) > 1 else 0
    return length if length >= MIN_SHARED_TOKENS else 0


def batch_by_length(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Group the indices of sequences by length, longest first. A padded group has at most `token_budget` tokens, or one
    sequence.

    The groups depend only on all lengths. A resumed run therefore forms the same groups and gets the same scores, to the
    last bit.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    group: list[int] = []
    for index in order:
        if group and (len(group) + 1) * lengths[group[0]] > token_budget:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Pairs as integer tensors, ready for a model.

    `tokens`, `positions`, `segments`: shape (rows, T). A row is a pair, a single response with its prompt, or, if packed, all
    pairs concatenated. A packed row starts with the first `prefix_length` (a 0-dim tensor) tokens of all prompts, once.
    `lengths`, shape (pairs, 3): tokens of each prompt without that prefix, and of its two responses. For every response
    token of the batch: `source_indices`, the index in the flattened rows whose output predicts it; `targets`, its id;
    `response_indices`, `2 * pair` for the first response of a pair and `2 * pair + 1` for the second.
    `last_token_indices`, shape (pairs, 2): the index of each response's last token, -1 if there is none.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    lengths: torch.Tensor
    prefix_length: torch.Tensor
    source_indices: torch.Tensor
    targets: torch.Tensor
    response_indices: torch.Tensor
    last_token_indices: torch.Tensor

    def to(self, device: torch.device | str) -> PairBatch:
        return PairBatch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: getattr(self, name) for name in self.__slots__}


def collate_pairs(pairs: Sequence[TokenizedPair], layout: BatchLayout, pad_id: int) -> PairBatch:
    """Collate pairs to one batch in a layout."""
    if layout == "separate":
        sequences = [
            (index, branch, text) for index, pair in enumerate(pairs) for branch, text in enumerate(_split_pair(pair))
        ]
        return _collate(sequences, pad_id, packed=False)
    packed = layout == "packed"
    prefix_length = shared_prompt_length(pairs) if packed else 0
    suffixes = [TokenizedPair(pair.prompt[prefix_length:], pair.first, pair.second) for pair in pairs]
    sequences = [(index, 0, suffix) for index, suffix in enumerate(suffixes)]
    return _collate(sequences, pad_id, packed, pairs[0].prompt[:prefix_length])


def _split_pair(pair: TokenizedPair) -> list[TokenizedPair]:
    """One ordinary sequence per response."""
    first = TokenizedPair(prompt=pair.prompt, first=pair.first)
    return [first, TokenizedPair(prompt=pair.prompt, first=pair.second)] if pair.second else [first]


def _collate(
    sequences: Sequence[tuple[int, int, TokenizedPair]], pad_id: int, packed: bool, prefix: Sequence[int] = ()
) -> PairBatch:
    """Collate sequences `(index of the pair, index of its first response, tokens)`, padded on the right to the longest, or
    concatenated after the prefix."""
    import torch

    offset = len(prefix)
    total = offset + sum(len(pair) for _, _, pair in sequences)
    shape = (1, total) if packed else (len(sequences), max(len(pair) for _, _, pair in sequences))
    tokens = torch.full((shape[0] * shape[1],), pad_id, dtype=torch.long)
    positions = torch.zeros_like(tokens)
    segments = torch.full_like(tokens, PADDING)
    tokens[:offset] = torch.tensor(prefix, dtype=torch.long)
    positions[:offset] = torch.arange(offset)
    segments[:offset] = PROMPT
    num_pairs = sequences[-1][0] + 1
    last_token_indices = torch.full((num_pairs, 2), -1)
    lengths = torch.zeros((num_pairs, 3), dtype=torch.long)
    source_indices: list[int] = []
    targets: list[int] = []
    response_indices: list[int] = []
    start = offset
    for row, (index, branch, pair) in enumerate(sequences):
        p, a, b = len(pair.prompt), len(pair.first), len(pair.second)
        start = start if packed else row * shape[1]
        end = start + p + a + b
        lengths[index] = torch.tensor([p, a, b])
        tokens[start:end] = torch.tensor(pair.prompt + pair.first + pair.second)
        positions[start : end - b] = torch.arange(offset, offset + p + a)
        positions[end - b : end] = torch.arange(offset + p, offset + p + b)
        segments[start:end] = torch.tensor([PROMPT] * p + [FIRST] * a + [SECOND] * b)
        for which, response in enumerate((pair.first, pair.second)):
            if response:
                begin = start + p + which * a
                # the prompt's last token predicts the first token of either response
                source_indices += [start + p - 1, *range(begin, begin + len(response) - 1)]
                targets += response
                response_indices += [2 * index + branch + which] * len(response)
                last_token_indices[index, branch + which] = begin + len(response) - 1
        start = end
    return PairBatch(
        tokens=tokens.view(shape),
        positions=positions.view(shape),
        segments=segments.view(shape),
        lengths=lengths,
        prefix_length=torch.tensor(offset),
        source_indices=torch.tensor(source_indices),
        targets=torch.tensor(targets),
        response_indices=torch.tensor(response_indices),
        last_token_indices=last_token_indices,
    )


def build_attention_mask(batch: PairBatch, window: int | None = None) -> torch.Tensor:
    """The attention mask: boolean, shape (rows, 1, T, T), True for visible keys.

    A token attends to the earlier tokens of its own branch and of the prompt; with a sliding `window`, only to those fewer
    than `window` positions back. A padding token attends to itself only, so that no row of the softmax is empty.
    """
    import torch

    width = batch.tokens.shape[1]
    index = torch.arange(width, device=batch.tokens.device)
    causal = index[:, None] >= index[None, :]
    segment = batch.segments
    same_segment = segment[:, :, None] == segment[:, None, :]
    visible = same_segment | ((segment == PROMPT)[:, None, :] & (segment != PADDING)[:, :, None])
    if window is not None:
        visible = visible & (batch.positions[:, :, None] - batch.positions[:, None, :] < window)
    mask = visible & causal & (segment != PADDING)[:, None, :]
    mask = mask | torch.eye(width, dtype=torch.bool, device=mask.device)
    return mask[:, None]
