"""A preallocated KV cache: appending tokens copies nothing that is already in it."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


def allocate_kv_cache(capacity: int) -> Any:
    """An empty cache for sequences of up to `capacity` tokens."""
    cache = DynamicCache()
    cache.layer_class_to_replicate = partial(_StaticLayer, capacity)
    return cache


class _StaticLayer(DynamicLayer):  # type: ignore[misc]
    """`keys` and `values` are views of the filled part of buffers of shape (rows, heads, capacity, d)."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.filled_length = capacity, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        rows, heads, _, width = key_states.shape
        self.key_buffer = key_states.new_empty(rows, heads, self.capacity, width)
        self.value_buffer = value_states.new_empty(rows, heads, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        new = slice(self.filled_length, self.filled_length + key_states.shape[-2])
        self.key_buffer[:, :, new], self.value_buffer[:, :, new] = key_states, value_states
        self.filled_length = new.stop
        return self._update_views()

    def batch_select_indices(self, indices: Tensor) -> None:
        self.key_buffer, self.value_buffer = self.key_buffer[indices], self.value_buffer[indices]
        self._update_views()

    def _update_views(self) -> tuple[Tensor, Tensor]:
        self.keys = self.key_buffer[:, :, : self.filled_length]
        self.values = self.value_buffer[:, :, : self.filled_length]
        return self.keys, self.values
