"""Freeing memory collects unused cycles, and does not examine what imports created."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

from trimtab.core.memory import free_memory

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


def test_imports_are_frozen_once() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["True", "True", "True"], "")
