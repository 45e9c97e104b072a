"""Reward models: a linear head on the hidden state of a response's last token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trimtab.errors import ModelError
from trimtab.models.adapters import autocast_bf16, has_bf16_weights
from trimtab.models.checkpoint import LoadedModel
from trimtab.models.packing.layout_probe import DropoutDisabled, compute_hidden_states, select_layout, unwrap_adapter
from trimtab.models.packing.pair_batch import BatchLayout, PairBatch, TokenizedPair, batch_by_length, collate_pairs
from trimtab.models.references import ModelRef
from trimtab.models.sharding import run_in_root

HEAD_FILE = "reward_head.safetensors"


class ResponseRewards(DropoutDisabled):
    """A causal language model with a scalar reward head in place of its output head.

    Both responses of a pair are in one sequence. The head is float32 and initialized to zero, so all rewards start at zero.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        config = unwrap_adapter(model).config.get_text_config()
        device = next(model.parameters()).device
        self.head = nn.Linear(config.hidden_size, 1, bias=False, dtype=torch.float32, device=device)
        nn.init.zeros_(self.head.weight)

    def forward(self, **tensors: Tensor) -> Tensor:
        """Rewards, float32, shape (pairs, 2); zero if a pair has no second response."""
        batch = PairBatch(**tensors)
        states = run_in_root(unwrap_adapter(self.model), lambda: compute_hidden_states(self.model, batch))
        with torch.autocast(states.device.type, enabled=False):
            rewards = self.head(states[batch.last_token_indices.clamp(min=0)].float())[..., 0]
        return torch.where(batch.last_token_indices >= 0, rewards, 0.0)


def save_reward_head(module: ResponseRewards, folder: Path) -> None:
    """Save the reward head as safetensors."""
    save_file({"weight": module.head.weight.detach().contiguous().cpu()}, folder / HEAD_FILE)


def load_reward_head(module: ResponseRewards, folder: Path) -> ResponseRewards:
    """Load the head that `save_reward_head` wrote into the module. Raises `ModelError` if there is none."""
    path = folder / HEAD_FILE
    if not path.is_file():
        raise ModelError(f"{folder} does not contain a reward model (no {HEAD_FILE}); delete the folder and run again")
    module.head.load_state_dict(load_file(path))
    return module.eval()


@dataclass(frozen=True, slots=True)
class RewardReader:
    """Computes rewards of pairs with a trained reward model."""

    loaded: LoadedModel
    module: ResponseRewards

    @classmethod
    def load(cls, folder: Path, notify: Callable[[str], None], device: str) -> RewardReader:
        """Load the reward model that a study trained. Raises `ModelError` if `folder` has none."""
        loaded = ModelRef(folder).load(notify, device)
        return cls(loaded, load_reward_head(ResponseRewards(loaded.model), folder))

    def iter_rewards(
        self, pairs: Sequence[TokenizedPair], token_budget: int
    ) -> Iterator[dict[int, tuple[float, float]]]:
        """Rewards of the first and the second response by the pair's index, in batches of at most `token_budget` tokens.

        Batches are formed from these pairs: for the same bytes, pass the same pairs.
        """
        layout = select_layout(self.module.model)
        for indices in batch_by_length([len(pair) for pair in pairs], token_budget):
            rewards = compute_rewards(self.module, [pairs[index] for index in indices], self.loaded.pad_id, layout)
            yield {index: (first, second) for index, (first, second) in zip(indices, rewards, strict=True)}


@torch.inference_mode()
def compute_rewards(
    module: ResponseRewards, pairs: Sequence[TokenizedPair], pad_id: int, layout: BatchLayout = "padded"
) -> list[list[float]]:
    """Rewards of the first and the second response of each pair."""
    device: Any = next(module.parameters()).device
    # a newly trained adapter is float32 on bfloat16 weights; a loaded adapter has the dtype of the weights
    with autocast_bf16(module, has_bf16_weights(module)):
        rewards = module(**collate_pairs(pairs, layout, pad_id).to(device).tensors())
    return rewards.cpu().tolist()  # type: ignore[no-any-return]
