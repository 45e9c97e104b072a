"""Reward models: a linear head on the state of a response's last token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trimtab.errors import ModelError
from trimtab.lm.adapters import autocast, is_narrow
from trimtab.lm.forms import Steady, choose_form, last_states, unwrapped
from trimtab.lm.models import Loaded, open_trained
from trimtab.lm.rows import Batch, Form, Row, batches, lay_out

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


@dataclass(frozen=True, slots=True)
class RewardReader:
    """A trained reward model, ready to read rows."""

    loaded: Loaded
    module: ResponseRewards

    @classmethod
    def opened(cls, folder: Path, notify: Callable[[str], None], device: str) -> RewardReader:
        """The model that a study trained into `folder`. Raises `ModelError` where there is none."""
        loaded = open_trained(folder, notify, device)
        return cls(loaded, load_head(ResponseRewards(loaded.model), folder))

    def read(
        self, rows: Sequence[Row], token_budget: int, wanted: AbstractSet[int] | None = None
    ) -> Iterator[dict[int, tuple[float, float]]]:
        """The rewards of the first and the second response, by the rows' places; a batch of at most so many tokens at a
        time.

        Batches without a place that is `wanted` are left out. They are formed from all rows, so that a run that was cut short
        forms the same ones.
        """
        form = choose_form(self.module.model)
        for places in batches([len(row) for row in rows], token_budget):
            if wanted is not None and wanted.isdisjoint(places):
                continue
            found = rewards(self.module, [rows[place] for place in places], self.loaded.pad_id, form)
            yield {place: (first, second) for place, (first, second) in zip(places, found, strict=True)}


@torch.inference_mode()
def rewards(module: ResponseRewards, rows: Sequence[Row], pad_id: int, form: Form = "padded") -> list[list[float]]:
    """Rewards of the first and the second response of each row."""
    device: Any = next(module.parameters()).device
    # an adapter that was just trained is float32 on narrow weights, one that was loaded is as narrow as they are
    with autocast(module, is_narrow(module)):
        found = module(**lay_out(rows, form, pad_id).to(device).tensors())
    return found.cpu().tolist()  # type: ignore[no-any-return]
