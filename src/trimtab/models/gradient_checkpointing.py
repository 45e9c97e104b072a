"""Gradient checkpointing: the backward pass computes the activations inside a decoder layer again, instead of storing them."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch.utils.checkpoint import checkpoint

from trimtab.models.loading import find_decoder_layers


def checkpoint_layers(causal: Any) -> None:
    """Stores only the input of each decoder layer from now on. Inference is unchanged, and so are the gradients.

    Raises `ModelError` if the decoder layers are not found. The switch of transformers works only in layers in training mode,
    in which some families also apply their dropout.
    """
    parent, attribute = find_decoder_layers(causal)
    for layer in getattr(parent, attribute):
        # `forward` and not the call: the hooks that collect a sharded layer's weights stay outside
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
