"""The pair row: one prompt, then both responses as branches that cannot see each other.

A row is laid out as `prompt · a · b`. Positions restart after the prompt for `b`, and `b` may not attend to `a`, so that
each response is read exactly as if it alone followed the prompt, while the prompt is read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.lm.chat import Chat
from trimtab.types import Prompt

if TYPE_CHECKING:
    import torch

PROMPT, FIRST, SECOND, PADDING = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of one prompt and of one or two responses to it; `second` is empty where there is only one."""

    prompt: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.first) + len(self.second)

    @property
    def longest_text(self) -> int:
        """Tokens of the prompt with the longer response: what a length limit speaks of."""
        return len(self.prompt) + max(len(self.first), len(self.second))


def encode(chat: Chat, prompt: Prompt, first: str, second: str | None = None) -> Row:
    """The row of a prompt and one or two responses, each with its end of turn."""
    return Row(
        prompt=tuple(chat.prompt_ids(prompt)),
        first=tuple(chat.response_ids(first)),
        second=tuple(chat.response_ids(second)) if second is not None else (),
    )


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
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
class Batch:
    """Rows padded to one width `T`, as integer tensors.

    `tokens`, `positions`, `segments`: shape (rows, T). For every response token of the batch, one after another:
    `sources`, the place in the flattened rows whose output predicts it; `targets`, its id; `owners`, `2 * row` for the
    first response of a row and `2 * row + 1` for the second.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor

    def to(self, device: torch.device | str) -> Batch:
        return Batch(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: getattr(self, name) for name in self.__slots__}


def pad(rows: Sequence[Row], pad_id: int) -> Batch:
    """Rows padded on the right to the longest."""
    import torch

    width = max(len(row) for row in rows)
    tokens = torch.full((len(rows), width), pad_id, dtype=torch.long)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    segments = torch.full((len(rows), width), PADDING, dtype=torch.long)
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for place, row in enumerate(rows):
        p, a, b = len(row.prompt), len(row.first), len(row.second)
        tokens[place, : p + a + b] = torch.tensor(row.prompt + row.first + row.second)
        positions[place, : p + a] = torch.arange(p + a)
        positions[place, p + a : p + a + b] = torch.arange(p, p + b)
        segments[place, : p + a + b] = torch.tensor([PROMPT] * p + [FIRST] * a + [SECOND] * b)
        last_of_prompt, start = place * width + p - 1, place * width + p
        for branch, (offset, response) in enumerate(((0, row.first), (a, row.second))):
            if response:
                # the first token of either response is predicted by the prompt's last one
                sources += [last_of_prompt, *range(start + offset, start + offset + len(response) - 1)]
                targets += response
                owners += [2 * place + branch] * len(response)
    return Batch(tokens, positions, segments, torch.tensor(sources), torch.tensor(targets), torch.tensor(owners))


def attention_mask(batch: Batch, window: int | None = None) -> torch.Tensor:
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


def plain_rows(row: Row) -> list[Row]:
    """The row as one ordinary text per response: for models that cannot take a pair row."""
    first = Row(prompt=row.prompt, first=row.first)
    return [first, Row(prompt=row.prompt, first=row.second)] if row.second else [first]
