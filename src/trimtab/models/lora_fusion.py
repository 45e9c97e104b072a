"""Compute a frozen linear layer and its LoRA adapter as one operation with a hand-written gradient.

y = W x + b + s B A x. As separate modules, the adapter's two thin products add dtype conversions, a scaling and a sum over
the full output, both forward and backward. Here the sum is part of the matrix product.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn


def fuse_lora_layers(adapted: Any) -> None:
    """Replace the forward pass of every plain LoRA linear layer with the fused one. Other layers are unchanged."""
    for module in adapted.modules():
        if type(module) is Linear and type(module.base_layer) is nn.Linear and not module.lora_variant:
            module.forward = partial(_fused_forward, module)


def _fused_forward(module: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    base, active = module.base_layer, module.active_adapters
    plain = not (args or kwargs or module.disable_adapters or module.merged or base.weight.requires_grad)
    if not plain or len(active) != 1 or not isinstance(module.lora_dropout[active[0]], nn.Identity):
        return Linear.forward(module, x, *args, **kwargs)  # type: ignore[no-any-return]
    name = active[0]
    a, b = module.lora_A[name].weight, module.lora_B[name].weight
    return _FusedLoraLinear.apply(x.to(base.weight.dtype), base.weight, base.bias, a, b, module.scaling[name])  # type: ignore[no-any-return,no-untyped-call]


class _FusedLoraLinear(torch.autograd.Function):
    """Shapes: x (..., in), weight (out, in), A (r, in) and B (out, r) in float32, output (..., out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        x_flat = x.reshape(-1, x.shape[-1])
        a_cast, b_cast = a.to(x.dtype), b.to(x.dtype)
        hidden = x_flat @ a_cast.T
        out = nn.functional.linear(x_flat, weight, bias).addmm_(hidden, b_cast.T, alpha=scale)
        ctx.save_for_backward(x_flat, hidden, weight, a_cast, b_cast)
        ctx.scale, ctx.dtype = scale, a.dtype
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x_flat, hidden, weight, a, b = ctx.saved_tensors
        grad = grads[0].reshape(-1, weight.shape[0]).to(x_flat.dtype)
        d_hidden = (grad @ b).mul_(ctx.scale)
        db = (grad.T @ hidden).to(ctx.dtype).mul_(ctx.scale)
        da = (d_hidden.T @ x_flat).to(ctx.dtype)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (grad @ weight).addmm_(d_hidden, a).view(*grads[0].shape[:-1], -1)
        return dx, None, None, da, db, None
