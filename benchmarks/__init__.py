"""Benchmarks of Trimtab against TRL and plain transformers, on the same pairs and in the same run. Not part of the package."""
