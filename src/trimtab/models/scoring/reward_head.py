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
from trimtab.models.adapters import autocast_bf16, has_bf16_weights
from trimtab.models.checkpoint import LoadedModel, load_trained_model
from trimtab.models.packing.layout_probe import DropoutDisabled, compute_hidden_states, select_layout, unwrap_adapter
from trimtab.models.packing.pair_batch import BatchLayout, PairBatch, TokenizedPair, batch_by_length, collate_pairs

HEAD_FILE = "reward_head.safetensors"


class ResponseRewards(DropoutDisabled):
    """A causal language model without its output head, and a linear head that gives each response a reward.

    Both responses of a pair are read in one row. The head is float32 and starts at zero, so that every reward does.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        config = unwrap_adapter(model).config.get_text_config()
        device = next(model.parameters()).device
        self.head = nn.Linear(config.hidden_size, 1, bias=False, dtype=torch.float32, device=device)
        nn.init.zeros_(self.head.weight)

    def forward(self, **tensors: Tensor) -> Tensor:
        """Rewards, float32, shape (pairs, 2); zero where a pair has no second response."""
        batch = PairBatch(**tensors)
        states = compute_hidden_states(self.model, batch)
        with torch.autocast(states.device.type, enabled=False):
            rewards = self.head(states[batch.last_token_indices.clamp(min=0)].float())[..., 0]
        return torch.where(batch.last_token_indices >= 0, rewards, 0.0)


def save_reward_head(module: ResponseRewards, folder: Path) -> None:
    save_file({"weight": module.head.weight.detach().contiguous().cpu()}, folder / HEAD_FILE)


def load_reward_head(module: ResponseRewards, folder: Path) -> ResponseRewards:
    """The module with the head that `save_head` wrote. Raises `ModelError` where there is none."""
    path = folder / HEAD_FILE
    if not path.is_file():
        raise ModelError(f"{folder} holds no reward model (no {HEAD_FILE}); delete the folder and run again")
    module.head.load_state_dict(load_file(path))
    return module.eval()


@dataclass(frozen=True, slots=True)
class RewardReader:
    """A trained reward model, ready to read rows."""

    loaded: LoadedModel
    module: ResponseRewards

    @classmethod
    def load(cls, folder: Path, notify: Callable[[str], None], device: str) -> RewardReader:
        """The model that a study trained into `folder`. Raises `ModelError` where there is none."""
        loaded = load_trained_model(folder, notify, device)
        return cls(loaded, load_reward_head(ResponseRewards(loaded.model), folder))

    def iter_rewards(
        self, rows: Sequence[TokenizedPair], token_budget: int, needed: AbstractSet[int] | None = None
    ) -> Iterator[dict[int, tuple[float, float]]]:
        """The rewards of the first and the second response, by the rows' places; a batch of at most so many tokens at a
        time.

        Batches without a place that is `wanted` are left out. They are formed from all rows, so that a run that was cut short
        forms the same ones.
        """
        form = select_layout(self.module.model)
        for places in batch_by_length([len(row) for row in rows], token_budget):
            if needed is not None and needed.isdisjoint(places):
                continue
            found = compute_rewards(self.module, [rows[place] for place in places], self.loaded.pad_id, form)
            yield {place: (first, second) for place, (first, second) in zip(places, found, strict=True)}


@torch.inference_mode()
def compute_rewards(
    module: ResponseRewards, rows: Sequence[TokenizedPair], pad_id: int, layout: BatchLayout = "padded"
) -> list[list[float]]:
    """Rewards of the first and the second response of each row."""
    device: Any = next(module.parameters()).device
    # an adapter that was just trained is float32 on narrow weights, one that was loaded is as narrow as they are
    with autocast_bf16(module, has_bf16_weights(module)):
        found = module(**collate_pairs(rows, layout, pad_id).to(device).tensors())
    return found.cpu().tolist()  # type: ignore[no-any-return]
