"""Benchmarks against TRL and transformers, run by `make bench`."""

import trimtab  # noqa: F401 - sets the OpenMP variables of all contenders before torch is loaded
