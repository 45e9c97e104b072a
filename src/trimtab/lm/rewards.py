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
from trimtab.lm.forms import Steady, last_states, unwrapped
from trimtab.lm.rows import Batch, Form, Row, lay_out

HEAD = "reward_head.safetensors"


class ResponseRewards(Steady):
    """A causal language model without its output head, and a linear head that gives each response a reward.

    Both responses of a pair are read in one row. The head is float32 and starts at zero, so that every reward does.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        config = unwrapped(model).config.get_text_config()
        device = next(model.parameters()).device
        self.head = nn.Linear(config.hidden_size, 1, bias=False, dtype=torch.float32, device=device)
        nn.init.zeros_(self.head.weight)

    def forward(self, **tensors: Tensor) -> Tensor:
        """Rewards, float32, shape (pairs, 2); zero where a pair has no second response."""
        batch = Batch(**tensors)
        states = last_states(self.model, batch)
        with torch.autocast(states.device.type, enabled=False):
            rewards = self.head(states[batch.lasts.clamp(min=0)].float())[..., 0]
        return torch.where(batch.lasts >= 0, rewards, 0.0)


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
def rewards(module: ResponseRewards, rows: Sequence[Row], pad_id: int, form: Form = "padded") -> list[list[float]]:
    """Rewards of the first and the second response of each row."""
    device: Any = next(module.parameters()).device
    # an adapter that was just trained is float32 on narrow weights, one that was loaded is as narrow as they are
    with autocast(module, is_narrow(module)):
        found = module(**lay_out(rows, form, pad_id).to(device).tensors())
    return found.cpu().tolist()  # type: ignore[no-any-return]
