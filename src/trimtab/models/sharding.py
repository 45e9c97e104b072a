"""Models whose frozen weights are divided among processes: a layer is complete only while it computes (FSDP2).

transformers divides the weights while it loads them. An adapter that is added afterwards is complete in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from trimtab.errors import ModelError

T = TypeVar("T")


def build_sharding_options(num_shards: int) -> dict[str, Any]:
    """Arguments of `from_pretrained` that divide the weights among `num_shards` processes."""
    from transformers.distributed import DistributedConfig

    return {} if num_shards == 1 else {"distributed_config": DistributedConfig(fsdp_size=num_shards)}


def prepare_sharded_model(model: Any, layer: Any, name: str) -> None:
    """Freezes the model's weights and enables `run_in_root`. Raises `ModelError` if the decoder layer `layer` is not sharded.

    transformers knows the layers of most families. It would shard other models as a whole, which saves no memory.
    """
    from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

    if not isinstance(layer, FSDPModule):
        raise ModelError(
            f"--shard: transformers cannot divide the layers of {name} ({type(model).__name__}); leave out --shard"
        )
    model.requires_grad_(False)
    model.run_in_root = lambda function: function()
    register_fsdp_forward_method(model, "run_in_root")


def is_sharded(model: Any) -> bool:
    """Whether the weights of a model, or of the model that a module for training contains, are divided among processes."""
    return bool(getattr(model, "is_distributed_loading_by_transformers", False))


def run_in_root(causal: Any, function: Callable[[], T]) -> T:
    """Calls a function that computes with parts of the model. Parts of a sharded model compute only within a call of the whole.

    All processes must make the same calls. The call must not contain another one.
    """
    return causal.run_in_root(function) if is_sharded(causal) else function()
