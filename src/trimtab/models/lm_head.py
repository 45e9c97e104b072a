"""Map a model's last hidden states to logits the way its family does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LogitTransform = Callable[[Tensor], Tensor]


def get_lm_head(causal: Any) -> LogitTransform:
    """The function from hidden states to logits, including the family's logit transform."""
    project, transform = causal.get_output_embeddings(), get_logit_transform(causal)
    return project if transform is None else lambda states: transform(project(states))


def get_logit_transform(causal: Any) -> LogitTransform | None:
    """The family's change to the output head's logits: scaling (Cohere, Granite, HyperCLOVA X) or soft-capping (Gemma).
    None if there is none."""
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
