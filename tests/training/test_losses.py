"""The losses, against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trimtab.training.losses import accuracy, bradley_terry, dpo, implicit_margin

# Chosen and rejected, in nats: the policy raised the first pair's gap by 3 - 1 = 2 and lowered the second's by 1.
POLICY = torch.tensor([[-10.0, -20.0], [-5.0, -4.0]])
REFERENCE = torch.tensor([[-13.0, -21.0], [-5.0, -5.0]])


def test_the_implicit_margin_is_the_gap_of_log_ratios() -> None:
    assert implicit_margin(POLICY, REFERENCE).tolist() == [2.0, -1.0]


def test_dpo_is_the_log_loss_of_beta_times_the_margin() -> None:
    found = dpo(POLICY, REFERENCE, beta=0.5).tolist()
    assert found == pytest.approx([math.log(1 + math.exp(-1.0)), math.log(1 + math.exp(0.5))], abs=1e-6)


def test_dpo_is_ln_2_where_policy_and_reference_agree() -> None:
    assert dpo(REFERENCE, REFERENCE, beta=0.1).tolist() == pytest.approx([math.log(2)] * 2)


def test_label_smoothing_mixes_in_the_loss_of_the_opposite_label() -> None:
    found = dpo(POLICY, REFERENCE, beta=0.5, label_smoothing=0.25)[0].item()
    assert found == pytest.approx(0.75 * math.log(1 + math.exp(-1.0)) + 0.25 * math.log(1 + math.exp(1.0)), abs=1e-6)


def test_dpo_of_a_large_margin_is_finite() -> None:
    assert dpo(1000 * POLICY, REFERENCE, beta=1.0).isfinite().all()


def test_bradley_terry_of_equal_rewards_is_ln_2_and_falls_with_the_gap() -> None:
    found = bradley_terry(torch.tensor([[0.0, 0.0], [2.0, 0.0]])).tolist()
    assert found == pytest.approx([math.log(2), math.log(1 + math.exp(-2.0))], abs=1e-6)


def test_a_tie_counts_as_half_right() -> None:
    assert accuracy(torch.tensor([1.0, -1.0, 0.0, 2.0])).item() == pytest.approx(0.625)
