"""A frozen linear layer and its LoRA adapter as one operation, with the gradient written out.

y = W x + b + s B A x. Taken apart, as modules of their own, the adapter's two thin products come with conversions, a
scaling and a sum over the whole output, each way; here the sum is part of the product.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn


def fuse_lora_layers(adapted: Any) -> None:
    """Lets every plain adapted linear layer of the model compute as one operation; others stay as they are."""
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
    """Inputs of shape (..., in), weights (out, in), A of (r, in) and B of (out, r) in float32; outputs (..., out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        narrow_a, narrow_b = a.to(x.dtype), b.to(x.dtype)
        inner = flat @ narrow_a.T
        out = nn.functional.linear(flat, weight, bias).addmm_(inner, narrow_b.T, alpha=scale)
        ctx.save_for_backward(flat, inner, weight, narrow_a, narrow_b)
        ctx.scale, ctx.dtype = scale, a.dtype
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        flat, inner, weight, a, b = ctx.saved_tensors
        grad = grads[0].reshape(-1, weight.shape[0]).to(flat.dtype)
        to_inner = (grad @ b).mul_(ctx.scale)
        to_b = (grad.T @ inner).to(ctx.dtype).mul_(ctx.scale)
        to_a = (to_inner.T @ flat).to(ctx.dtype)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = (grad @ weight).addmm_(to_inner, a).view(*grads[0].shape[:-1], -1)
        return to_x, None, None, to_a, to_b, None
