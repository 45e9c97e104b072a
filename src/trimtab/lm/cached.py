"""A cache of keys and values with room for what is to come: growing it copies nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


def roomy_cache(room: int) -> Any:
    """An empty cache for texts of up to `room` tokens."""
    cache = DynamicCache()
    cache.layer_class_to_replicate = partial(_Layer, room)
    return cache


class _Layer(DynamicLayer):  # type: ignore[misc]
    """`keys` and `values` are what is filled of tensors of shape (rows, heads, room, d)."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.filled = room, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        rows, heads, _, width = key_states.shape
        self.all_keys = key_states.new_empty(rows, heads, self.room, width)
        self.all_values = value_states.new_empty(rows, heads, self.room, value_states.shape[-1])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place = slice(self.filled, self.filled + key_states.shape[-2])
        self.all_keys[:, :, place], self.all_values[:, :, place] = key_states, value_states
        self.filled = place.stop
        return self._filled()

    def batch_select_indices(self, indices: Tensor) -> None:
        self.all_keys, self.all_values = self.all_keys[indices], self.all_values[indices]
        self._filled()

    def _filled(self) -> tuple[Tensor, Tensor]:
        self.keys, self.values = self.all_keys[:, :, : self.filled], self.all_values[:, :, : self.filled]
        return self.keys, self.values
