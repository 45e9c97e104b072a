"""How many optimizer steps a training takes, and how often it repeats its data."""

from __future__ import annotations

import math

from trimtab.config.training import TrainingSettings


def count_optimizer_steps(n_pairs: int, settings: TrainingSettings) -> int:
    """Optimizer steps of a training on this many pairs, or on this many sequences for SFT."""
    if settings.max_steps is not None:
        return settings.max_steps
    return max(1, math.ceil(_steps_per_epoch(n_pairs, settings) * settings.num_train_epochs))


def count_epochs(n_pairs: int, settings: TrainingSettings) -> float:
    """Passes over the data. The last one is a fraction if the steps end within it."""
    return count_optimizer_steps(n_pairs, settings) / _steps_per_epoch(n_pairs, settings)


def _steps_per_epoch(n_pairs: int, settings: TrainingSettings) -> int:
    """The last step of an epoch can have fewer pairs than `batch_size`."""
    return math.ceil(n_pairs / settings.batch_size)
