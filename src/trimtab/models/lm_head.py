"""From a model's last hidden states to its logits, as its family computes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LogitTransform = Callable[[Tensor], Tensor]


def get_lm_head(causal: Any) -> LogitTransform:
    """From hidden states to logits, with what the family does to them."""
    project, bend = causal.get_output_embeddings(), get_logit_transform(causal)
    return project if bend is None else lambda states: bend(project(states))


def get_logit_transform(causal: Any) -> LogitTransform | None:
    """What a family does to the logits: it scales them (Cohere, Granite, HyperCLOVA X) or caps them (Gemma). None where
    they stay as they are."""
    config = causal.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        return lambda logits: torch.tanh(logits / cap) * cap
    factor = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    if divisor and config.model_type.startswith("hyperclovax"):
        factor, divisor = divisor, None
    if factor:
        return lambda logits: logits * factor
    return (lambda logits: logits / divisor) if divisor else None
