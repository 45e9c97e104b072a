"""What a model's layers hold of a response: frozen features, read in pair rows like everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

from trimtab.errors import ModelError
from trimtab.models.checkpoint import LoadedModel
from trimtab.models.loading import find_decoder_layers
from trimtab.models.packing.layout_probe import compute_hidden_states, select_layout, unwrap_adapter
from trimtab.models.packing.pair_batch import PairBatch, TokenizedPair, batch_by_length, collate_pairs

# What is read of each layer, in this order: the state of the response's last token, and the mean over its tokens.
POOLED_STATES_PER_LAYER = 2
# How deep the layer lies that is read where none is named, as a part of all layers.
DEFAULT_RELATIVE_DEPTH = 0.54


class HiddenStateReader:
    """Reads what `layers` of a model hold of responses. Layer n is what the n-th decoder layer leaves in the residual stream.

    No layers stands for the one a little above half of the depth, where preferences are read best in small models
    (`docs/results/what-did-not-work.md`). A pass ends at the deepest layer that is read. Raises `ModelError` for a layer
    that the model has not.
    """

    def __init__(self, loaded: LoadedModel, layers: Sequence[int] = ()) -> None:
        self._loaded = loaded
        self._layout = select_layout(loaded.model)
        holder, attribute = find_decoder_layers(unwrap_adapter(loaded.model))
        self._modules = list(getattr(holder, attribute))
        depth = len(self._modules)
        self.layers = tuple(layers) or (max(1, round(DEFAULT_RELATIVE_DEPTH * depth)),)
        wrong = next((layer for layer in self.layers if not 1 <= layer <= depth), None)
        if wrong is not None:
            raise ModelError(f"layers: {wrong}, and the model has the layers 1 to {depth}")

    def compute_differences(self, rows: Sequence[TokenizedPair], token_budget: int) -> Tensor:
        """Features of the first response less those of the second, float32 on the CPU, shape (rows, len(layers) * 2 * d).

        Values that are not finite are left to the caller.
        """
        width = unwrap_adapter(self._loaded.model).config.get_text_config().hidden_size
        device = unwrap_adapter(self._loaded.model).device
        found = torch.empty(len(rows), len(self.layers) * POOLED_STATES_PER_LAYER * width)
        for places in batch_by_length([len(row) for row in rows], token_budget):
            batch = collate_pairs([rows[place] for place in places], self._layout, self._loaded.pad_id).to(device)
            pooled = torch.cat([_pool_responses(states, batch) for states in self._read_layers(batch)], dim=-1)
            found[places] = (pooled[:, 0] - pooled[:, 1]).cpu()
        return found

    @torch.inference_mode()
    def _read_layers(self, batch: PairBatch) -> list[Tensor]:
        """The states that each of the layers gives, flattened: shape (tokens, d)."""
        with self._capture_outputs() as heard, suppress(_StopForward):
            compute_hidden_states(self._loaded.model, batch)
        return [heard[layer] for layer in self.layers]

    @contextmanager
    def _capture_outputs(self) -> Iterator[dict[int, Tensor]]:
        heard: dict[int, Tensor] = {}
        handles = [
            self._modules[layer - 1].register_forward_hook(
                _build_capture_hook(heard, layer, last=layer == max(self.layers))
            )
            for layer in self.layers
        ]
        try:
            yield heard
        finally:
            for handle in handles:
                handle.remove()


class _StopForward(Exception):  # noqa: N818 - no error
    """The deepest layer that is read has answered: what lies above it would be run for nothing."""


def _build_capture_hook(heard: dict[int, Tensor], layer: int, *, last: bool) -> Callable[[Any, Any, Any], None]:
    def keep(_: Any, __: Any, output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        heard[layer] = states.reshape(-1, states.shape[-1])
        if last:
            raise _StopForward

    return keep


def _pool_responses(states: Tensor, batch: PairBatch) -> Tensor:
    """Last and mean state of each response, float32, shape (pairs, 2, 2 * d); zero where there is no response."""
    lasts = batch.last_token_indices.reshape(-1)
    counts = torch.bincount(batch.response_indices, minlength=len(lasts))
    last = torch.where((lasts >= 0)[:, None], states[lasts.clamp(min=0)].float(), 0.0)
    # `owners` lists the response tokens response by response; a response's tokens are the `counts` ones up to its last
    owner = batch.response_indices
    ahead = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    tokens = lasts[owner] - counts[owner] + 1 + ahead
    total = torch.zeros_like(last).index_add(0, owner, states[tokens].float())
    mean = total / counts.clamp(min=1)[:, None]
    return torch.cat([last, mean], dim=1).view(-1, 2, 2 * states.shape[-1])
