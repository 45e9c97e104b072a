"""Freeing memory collects unused cycles, and does not examine what imports created."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

from trimtab.core.memory import KERNEL_CACHE_CAPACITY, free_memory, limit_kernel_cache

COUNT = """
import gc, torch, transformers
from trimtab.core.memory import freeze_imports
freeze_imports()
objects = [object() for _ in range(3)]
first = gc.get_freeze_count()
freeze_imports()
print(len(gc.get_objects()) < 1000, first > 100_000, gc.get_freeze_count() == first)
"""


class Node:
    """An object that refers to itself, as a trainer and its model do."""

    def __init__(self) -> None:
        self.itself = self


def test_freeing_memory_collects_unused_cycles() -> None:
    gc.disable()
    try:
        reference = weakref.ref(Node())
        assert reference() is not None
        free_memory()
        assert reference() is None
    finally:
        gc.enable()


def test_the_cache_of_kernels_is_limited_unless_the_user_has_chosen_a_capacity() -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    chosen, unset = {name: "7"}, dict[str, str]()
    limit_kernel_cache(chosen)
    limit_kernel_cache(unset)
    assert (chosen, unset) == ({name: "7"}, {name: KERNEL_CACHE_CAPACITY})
    code = f"import os, trimtab; print(os.environ[{name!r}])"
    environment = {key: value for key, value in os.environ.items() if key != name}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout.strip(), done.stderr) == (KERNEL_CACHE_CAPACITY, "")


def test_imports_are_frozen_once() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["True", "True", "True"], "")
