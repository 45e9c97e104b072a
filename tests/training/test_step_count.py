"""Steps and epochs of a training, computed by hand."""

from __future__ import annotations

import pytest

from trimtab.config.training import DpoSettings, PreferenceModelSettings, RewardModelSettings, SftSettings
from trimtab.training.step_count import count_epochs, count_optimizer_steps


@pytest.mark.parametrize("cls", [SftSettings, DpoSettings, RewardModelSettings, PreferenceModelSettings])
@pytest.mark.parametrize(
    ("duration", "n_pairs", "steps", "epochs"),
    [
        ({}, 10, 3, 1.0),  # batches of 4, 4 and 2
        ({"num_train_epochs": 1.6}, 10, 5, 5 / 3),  # 4.8 steps, rounded up
        ({"num_train_epochs": 0.1}, 4, 1, 1.0),
        ({"max_steps": 7}, 10, 7, 7 / 3),
        ({"max_steps": 7}, 20, 7, 7 / 5),  # the same steps on twice the pairs
        ({"max_steps": 1}, 20, 1, 1 / 5),
    ],
)
def test_steps_and_epochs_of_batches_of_four(
    cls: type[DpoSettings], duration: dict[str, float], n_pairs: int, steps: int, epochs: float
) -> None:
    settings = cls(batch_size=4, **duration)
    assert count_optimizer_steps(n_pairs, settings) == steps
    assert count_epochs(n_pairs, settings) == pytest.approx(epochs)
