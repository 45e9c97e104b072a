"""Annotators that learn from the labeled pairs, in a whole tiny study: probe, reward model, calibration and budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.study import Study

LEARNED = """
name: learned
data: {{kind: starter, limit: 400}}
split: {{labeled: 0.5, test: 0.2, max_labeled: 60, max_unlabeled: 40, max_test: 6}}
models:
  weak: {{base: {model}, dtype: float32}}
  student: {{base: {model}, dtype: float32}}
training: {{sft: null, dpo: {{batch_size: 20, learning_rate: 1.0e-3, lora_rank: 2}}}}
arms:
  probe: {{annotator: {{kind: probe, layers: [1, 2]}}, train: false}}
  probed:
    annotator: {{kind: probe, layers: [1, 2]}}
    calibration: {{folds: 3}}
    filter: {{kind: budget, folds: 3}}
    train: false
  again: {{annotator: {{kind: probe, rounds: 3, fraction: 0.25}}, train: false}}
  reward: {{annotator: {{kind: reward_model, recipe: {{lora_rank: 2, batch_size: 20}}}}, train: false}}
  whole: {{annotator: {{kind: reward_model, recipe: {{lora_rank: 0, batch_size: 20, learning_rate: 1.0e-4}}}}, train: false}}
  isotonic: {{annotator: longest, calibration: {{method: isotonic}}, train: false}}
"""


@pytest.fixture(scope="module")
def learned(tiny_model: Path, run_whole: Callable[[str], tuple[Study, Path]]) -> tuple[Study, Path]:
    return run_whole(LEARNED.format(model=tiny_model))


def test_folds_read_one_table_of_features_and_train_rewards_of_their_own(learned: tuple[Study, Path]) -> None:
    kinds = sorted(each.name.split(".")[0] for each in (learned[1] / "stages").iterdir())
    assert kinds.count("features") == 2
