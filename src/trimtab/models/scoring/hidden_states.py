"""Hidden states of responses at selected layers of a model, as frozen features."""

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

# Per layer, in this order: the state of the response's last token, and the mean over its tokens.
POOLED_STATES_PER_LAYER = 2
# The depth of the default layer as a fraction of all layers.
DEFAULT_RELATIVE_DEPTH = 0.54


class HiddenStateReader:
    """Computes features of responses at `layers` of a model. Layer n is the residual stream after the n-th decoder layer.

    The default is one layer slightly above half of the depth, where preferences are predicted best in small models
    (`docs/results/what-did-not-work.md`). The forward pass stops at the deepest selected layer. Raises `ModelError` for a
    layer that the model does not have.
    """

    def __init__(self, loaded: LoadedModel, layers: Sequence[int] = ()) -> None:
        self._loaded = loaded
        self._layout = select_layout(loaded.model)
        module, attribute = find_decoder_layers(unwrap_adapter(loaded.model))
        self._modules = list(getattr(module, attribute))
        depth = len(self._modules)
        self.layers = tuple(layers) or (max(1, round(DEFAULT_RELATIVE_DEPTH * depth)),)
        invalid = next((layer for layer in self.layers if not 1 <= layer <= depth), None)
        if invalid is not None:
            raise ModelError(f"layers: {invalid} is not one of the model's layers 1 to {depth}")

    def compute_differences(self, pairs: Sequence[TokenizedPair], token_budget: int) -> Tensor:
        """Features of the first response minus those of the second, float32 on the CPU, shape (pairs, len(layers) * 2 * d).

        The caller must check for values that are not finite.
        """
        width = unwrap_adapter(self._loaded.model).config.get_text_config().hidden_size
        device = unwrap_adapter(self._loaded.model).device
        differences = torch.empty(len(pairs), len(self.layers) * POOLED_STATES_PER_LAYER * width)
        for indices in batch_by_length([len(pair) for pair in pairs], token_budget):
            batch = collate_pairs([pairs[index] for index in indices], self._layout, self._loaded.pad_id).to(device)
            pooled = torch.cat([_pool_responses(states, batch) for states in self._read_layers(batch)], dim=-1)
            differences[indices] = (pooled[:, 0] - pooled[:, 1]).cpu()
        return differences

    @torch.inference_mode()
    def _read_layers(self, batch: PairBatch) -> list[Tensor]:
        """The output of each selected layer, flattened: shape (tokens, d)."""
        with self._capture_outputs() as outputs, suppress(_StopForward):
            compute_hidden_states(self._loaded.model, batch)
        return [outputs[layer] for layer in self.layers]

    @contextmanager
    def _capture_outputs(self) -> Iterator[dict[int, Tensor]]:
        outputs: dict[int, Tensor] = {}
        handles = [
            self._modules[layer - 1].register_forward_hook(
                _build_capture_hook(outputs, layer, last=layer == max(self.layers))
            )
            for layer in self.layers
        ]
        try:
            yield outputs
        finally:
            for handle in handles:
                handle.remove()


class _StopForward(Exception):  # noqa: N818 - not an error
    """Stops the forward pass after the deepest selected layer; the layers above it are not needed."""


def _build_capture_hook(outputs: dict[int, Tensor], layer: int, *, last: bool) -> Callable[[Any, Any, Any], None]:
    def capture(_: Any, __: Any, output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        outputs[layer] = states.reshape(-1, states.shape[-1])
        if last:
            raise _StopForward

    return capture


def _pool_responses(states: Tensor, batch: PairBatch) -> Tensor:
    """Last and mean state of each response, float32, shape (pairs, 2, 2 * d); zero if there is no response."""
    last_indices = batch.last_token_indices.reshape(-1)
    counts = torch.bincount(batch.response_indices, minlength=len(last_indices))
    last = torch.where((last_indices >= 0)[:, None], states[last_indices.clamp(min=0)].float(), 0.0)
    # `response_indices` lists the response tokens response by response; those of one response are consecutive
    response = batch.response_indices
    offset = torch.arange(len(response), device=response.device) - (counts.cumsum(0) - counts)[response]
    tokens = last_indices[response] - counts[response] + 1 + offset
    total = torch.zeros_like(last).index_add(0, response, states[tokens].float())
    mean = total / counts.clamp(min=1)[:, None]
    return torch.cat([last, mean], dim=1).view(-1, 2, 2 * states.shape[-1])
