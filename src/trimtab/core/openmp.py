"""Settings of the OpenMP threads that torch computes with on a CPU."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

# Iterations that an idle thread spins before it sleeps. With the default, libgomp threads spin for milliseconds, and a second
# busy process on the same cores slows both many times over. On idle cores few iterations cost 8% or more, depending on the
# machine (docs/results/performance.md); workers of one thread each do not wait.
SPIN_COUNT = "1000"


def limit_thread_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets `GOMP_SPINCOUNT` unless the user has set a waiting policy. It has an effect before torch is imported."""
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def find_openmp_problem(environment: MutableMapping[str, str] = os.environ) -> str | None:
    """A message if an OpenMP variable makes results wrong, else None."""
    if environment.get("OMP_DYNAMIC", "").strip().lower() in ("true", "1"):
        return "OMP_DYNAMIC=true makes matrix products on a CPU return NaN; unset OMP_DYNAMIC"
    return None
