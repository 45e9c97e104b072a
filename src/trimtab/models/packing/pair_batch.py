"""The pair row: one prompt, then both responses as branches that cannot see each other.

A row is laid out as `prompt · a · b`. Positions restart after the prompt for `b`, and `b` may not attend to `a`, so that
each response is read exactly as if it alone followed the prompt, while the prompt is read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trimtab.models.chat import ChatTokenizer
from trimtab.types import Prompt

if TYPE_CHECKING:
    import torch

PROMPT, FIRST, SECOND, PADDING = 0, 1, 2, 3

# Tokens that prompts must have in common at their beginning for packed rows to hold it once. Fewer save less than the
# further products of attention take; the system prompt that SmolLM2's template writes has 24.
MIN_SHARED_TOKENS = 16

# How pairs are laid out for a model: one behind another without padding; a padded row each; a padded row for each response.
BatchLayout = Literal["packed", "padded", "separate"]


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """Token ids of one prompt and of one or two responses to it; `second` is empty where there is only one."""

    prompt: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.first) + len(self.second)

    @property
    def max_text_length(self) -> int:
        """Tokens of the prompt with the longer response: what a length limit speaks of."""
        return len(self.prompt) + max(len(self.first), len(self.second))


def tokenize_pair(chat: ChatTokenizer, prompt: Prompt, first: str, second: str | None = None) -> TokenizedPair:
    """The row of a prompt and one or two responses, each with its end of turn."""
    return TokenizedPair(
        prompt=tuple(chat.encode_prompt(prompt)),
        first=tuple(chat.encode_response(first)),
        second=tuple(chat.encode_response(second)) if second is not None else (),
    )


def common_prefix_length(texts: Sequence[Sequence[int]]) -> int:
    """Tokens that all texts begin with, leaving each at least one of its own."""
    low, high = min(map(tuple, texts)), max(map(tuple, texts))
    most = max(0, min(map(len, texts)) - 1)
    return next((place for place in range(most) if low[place] != high[place]), most)


def shared_prompt_length(rows: Sequence[TokenizedPair]) -> int:
    """Tokens that the prompts of these rows begin with and that packed rows hold once; 0 where they are too few to matter."""
    shared = common_prefix_length([row.prompt for row in rows]) if len(rows) > 1 else 0
    return shared if shared >= MIN_SHARED_TOKENS else 0


def batch_by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places of rows grouped by length, longest first, each group at most `budget` tokens once padded (or one row).

    The groups depend on the whole list alone, so a run that is resumed forms the same ones, to the last bit of their scores.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    group: list[int] = []
    for place in order:
        if group and (len(group) + 1) * lengths[group[0]] > budget:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class PairBatch:
    """Pairs laid out as a model reads them, as integer tensors.

    `tokens`, `positions`, `segments`: shape (rows, T). A row is a pair, or a text of its own, or, where the rows are packed,
    all pairs one behind another: then the `shared` tokens, a tensor of no dimension, that all prompts begin with stand first,
    once. `lengths`, shape (pairs, 3): tokens of each prompt, less the shared, and of its responses. For every response
    token of the batch: `sources`, the place in the flattened rows whose output predicts it; `targets`, its id; `owners`,
    `2 * pair` for the first response of a pair and `2 * pair + 1` for the second. `lasts`, shape (pairs, 2): the place of
    each response's last token, -1 where there is none.
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


def collate_pairs(rows: Sequence[TokenizedPair], layout: BatchLayout, pad_id: int) -> PairBatch:
    """The pairs of `rows` in the form that a model reads."""
    if layout == "separate":
        texts = [
            (place, branch, text) for place, row in enumerate(rows) for branch, text in enumerate(_split_responses(row))
        ]
        return _collate(texts, pad_id, packed=False)
    packed = layout == "packed"
    shared = shared_prompt_length(rows) if packed else 0
    own = [TokenizedPair(row.prompt[shared:], row.first, row.second) for row in rows]
    return _collate([(place, 0, row) for place, row in enumerate(own)], pad_id, packed, rows[0].prompt[:shared])


def _split_responses(row: TokenizedPair) -> list[TokenizedPair]:
    """The row as one ordinary text per response."""
    first = TokenizedPair(prompt=row.prompt, first=row.first)
    return [first, TokenizedPair(prompt=row.prompt, first=row.second)] if row.second else [first]


def _collate(
    texts: Sequence[tuple[int, int, TokenizedPair]], pad_id: int, packed: bool, shared: Sequence[int] = ()
) -> PairBatch:
    """Texts `(pair, its first branch, row)` padded on the right to the longest, or one behind another after the shared."""
    import torch

    behind = len(shared)
    total = behind + sum(len(row) for _, _, row in texts)
    shape = (1, total) if packed else (len(texts), max(len(row) for _, _, row in texts))
    tokens = torch.full((shape[0] * shape[1],), pad_id, dtype=torch.long)
    positions = torch.zeros_like(tokens)
    segments = torch.full_like(tokens, PADDING)
    tokens[:behind] = torch.tensor(shared, dtype=torch.long)
    positions[:behind] = torch.arange(behind)
    segments[:behind] = PROMPT
    pairs = texts[-1][0] + 1
    lasts = torch.full((pairs, 2), -1)
    lengths = torch.zeros((pairs, 3), dtype=torch.long)
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    start = behind
    for number, (pair, branch, row) in enumerate(texts):
        p, a, b = len(row.prompt), len(row.first), len(row.second)
        start = start if packed else number * shape[1]
        end = start + p + a + b
        lengths[pair] = torch.tensor([p, a, b])
        tokens[start:end] = torch.tensor(row.prompt + row.first + row.second)
        positions[start : end - b] = torch.arange(behind, behind + p + a)
        positions[end - b : end] = torch.arange(behind + p, behind + p + b)
        segments[start:end] = torch.tensor([PROMPT] * p + [FIRST] * a + [SECOND] * b)
        for offset, response in enumerate((row.first, row.second)):
            if response:
                begin = start + p + offset * a
                # the first token of either response is predicted by the prompt's last one
                sources += [start + p - 1, *range(begin, begin + len(response) - 1)]
                targets += response
                owners += [2 * pair + branch + offset] * len(response)
                lasts[pair, branch + offset] = begin + len(response) - 1
        start = end
    return PairBatch(
        tokens=tokens.view(shape),
        positions=positions.view(shape),
        segments=segments.view(shape),
        lengths=lengths,
        prefix_length=torch.tensor(behind),
        source_indices=torch.tensor(sources),
        targets=torch.tensor(targets),
        response_indices=torch.tensor(owners),
        last_token_indices=lasts,
    )


def build_attention_mask(batch: PairBatch, window: int | None = None) -> torch.Tensor:
    """True where a token may look: boolean, shape (rows, 1, T, T).

    A token sees the earlier tokens of its own branch and of the prompt; with a sliding `window`, only those fewer than
    `window` positions back. A padding token sees itself alone, so that no row of the softmax is empty.
    """
    import torch

    width = batch.tokens.shape[1]
    place = torch.arange(width, device=batch.tokens.device)
    earlier = place[:, None] >= place[None, :]
    segment = batch.segments
    same = segment[:, :, None] == segment[:, None, :]
    seen = same | ((segment == PROMPT)[:, None, :] & (segment != PADDING)[:, :, None])
    if window is not None:
        seen = seen & (batch.positions[:, :, None] - batch.positions[:, None, :] < window)
    mask = seen & earlier & (segment != PADDING)[:, None, :]
    mask = mask | torch.eye(width, dtype=torch.bool, device=mask.device)
    return mask[:, None]
