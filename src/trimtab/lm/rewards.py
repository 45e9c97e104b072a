"""Reward models: a linear head on the state of a response's last token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trimtab.errors import ModelError
from trimtab.lm.adapters import autocast, is_narrow
from trimtab.lm.logprobs import last_states, unwrapped
from trimtab.lm.rows import PROMPT, Batch, Row, pad

HEAD = "reward_head.safetensors"


class ResponseRewards(nn.Module):
    """A causal language model without its output head, and a linear head that gives each response a reward.

    Both responses of a pair are read in one row. The head is float32 and starts at zero, so that every reward does.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        config = unwrapped(model).config.get_text_config()
        device = next(model.parameters()).device
        self.head = nn.Linear(config.hidden_size, 1, bias=False, dtype=torch.float32, device=device)
        nn.init.zeros_(self.head.weight)

    def forward(self, **tensors: Tensor) -> Tensor:
        """Rewards, float32, shape (rows, 2); zero where a row has no second response."""
        batch = Batch(**tensors)
        states = last_states(self.model, batch)
        rows, last = last_tokens(batch)
        with torch.autocast(states.device.type, enabled=False):
            rewards = self.head(states[rows, last].float())[:, 0]
        totals = torch.zeros(2 * len(batch.tokens), dtype=torch.float32, device=rewards.device)
        owners = 2 * rows + (batch.segments[rows, last] != PROMPT + 1).long()
        return totals.index_add(0, owners, rewards).view(-1, 2)


def last_tokens(batch: Batch) -> tuple[Tensor, Tensor]:
    """Row and column of the last token of every response in the batch."""
    segment = batch.segments
    after = torch.cat([segment[:, 1:], torch.full_like(segment[:, :1], -1)], dim=1)
    ends = (segment != after) & ((segment == PROMPT + 1) | (segment == PROMPT + 2))
    rows, columns = ends.nonzero(as_tuple=True)
    return rows, columns


def save_head(module: ResponseRewards, folder: Path) -> None:
    save_file({"weight": module.head.weight.detach().contiguous().cpu()}, folder / HEAD)


def load_head(module: ResponseRewards, folder: Path) -> ResponseRewards:
    """The module with the head that `save_head` wrote. Raises `ModelError` where there is none."""
    path = folder / HEAD
    if not path.is_file():
        raise ModelError(f"{folder} holds no reward model (no {HEAD}); delete the folder and run again")
    module.head.load_state_dict(load_file(path))
    return module.eval()


@torch.inference_mode()
def rewards(module: ResponseRewards, rows: Sequence[Row], pad_id: int) -> list[list[float]]:
    """Rewards of the first and the second response of each row."""
    device: Any = next(module.parameters()).device
    # an adapter that was just trained is float32 on narrow weights, one that was loaded is as narrow as they are
    with autocast(module, is_narrow(module)):
        found = module(**pad(rows, pad_id).to(device).tensors())
    return found.cpu().tolist()  # type: ignore[no-any-return]
