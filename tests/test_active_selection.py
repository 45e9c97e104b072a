"""The simulation of active selection samples with the probabilities that it states."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    path = Path(__file__).parents[1] / "studies" / "active_selection" / "selection_draws.py"
    spec = importlib.util.spec_from_file_location("active_selection_simulation", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_inclusion_probabilities_are_capped_at_one_and_sum_to_the_count(simulation: ModuleType) -> None:
    inclusion = simulation.compute_inclusion(np.array([0.7, 0.1, 0.1, 0.1]), 2)
    assert inclusion == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])  # 2 x 0.7 is more than 1: one certain, one of three


def test_pairs_are_sampled_as_often_as_their_inclusion_probabilities_say(simulation: ModuleType) -> None:
    rng = np.random.default_rng(0)
    confidences = np.linspace(0, 1, 40)
    counts = np.zeros(40)
    stated = np.zeros(40)
    for _ in range(4_000):
        positions, inclusion = simulation.select("sampled", 8, confidences, rng)
        assert len(set(positions)) == 8
        counts[positions] += 1
        stated[positions] = inclusion
    assert counts / 4_000 == pytest.approx(stated, abs=4 * 0.5 / 4_000**0.5)
    assert stated[0] > stated[-1] > 0


def test_the_least_certain_pairs_come_first(simulation: ModuleType) -> None:
    positions, _ = simulation.select("uncertain", 2, np.array([0.9, 0.1, 0.5, 0.2]), np.random.default_rng(0))
    assert list(positions) == [1, 3]
