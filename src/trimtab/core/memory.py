"""Frees the memory of unused objects, without examining the objects that imports create, and limits a cache of kernels."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import MutableMapping
from functools import cache

# oneDNN, which computes bfloat16 products on a CPU, keeps a compiled kernel for each shape, by default 1,024 of them. With 16,
# reading log-probabilities took 8% longer, with 128 no longer than with 1,024 (docs/results/performance.md).
KERNEL_CACHE_CAPACITY = "128"


def limit_kernel_cache(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets `ONEDNN_PRIMITIVE_CACHE_CAPACITY` unless the user has. It has an effect before torch is imported."""
    environment.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNEL_CACHE_CAPACITY)


@cache
def freeze_imports() -> None:
    """Excludes all objects that exist now from garbage collection, once in a process; call it after heavy imports.

    A full collection examines every object. After `import torch, transformers` that takes 0.2 s of CPU time, and a study
    makes a full collection after each stage. Objects that exist at the first call are never collected.
    """
    gc.freeze()


def free_memory() -> None:
    """Frees objects in unused reference cycles, such as a trainer and its model, and then unused GPU memory."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
