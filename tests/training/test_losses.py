"""Loss functions compared with values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trimtab.training.losses import (
    answer_cross_entropy,
    aux_confidence_loss,
    bradley_terry_loss,
    confidence_weight,
    dpo_loss,
    dr_dpo_loss,
    harden_predictions,
    hinge_loss,
    implicit_margin,
    ipo_loss,
    length_normalized_margin,
    length_regularized_dpo_loss,
    linear_warmup,
    preference_accuracy,
    robust_dpo_loss,
    simpo_loss,
)

# Chosen and rejected, in nats: the policy increased the first pair's gap by 3 - 1 = 2 and decreased the second's by 1.
POLICY = torch.tensor([[-10.0, -20.0], [-5.0, -4.0]])
REFERENCE = torch.tensor([[-13.0, -21.0], [-5.0, -5.0]])
LENGTHS = torch.tensor([[4, 5], [5, 2]])


def test_the_implicit_margin_is_the_gap_of_log_ratios() -> None:
    assert implicit_margin(POLICY, REFERENCE).tolist() == [2.0, -1.0]


def test_dpo_is_the_log_loss_of_the_scaled_margin() -> None:
    values = dpo_loss(POLICY, REFERENCE, beta=0.5).tolist()
    assert values == pytest.approx([math.log(1 + math.exp(-1.0)), math.log(1 + math.exp(0.5))], abs=1e-6)


def test_dpo_is_ln_2_if_policy_and_reference_agree() -> None:
    assert dpo_loss(REFERENCE, REFERENCE, beta=0.1).tolist() == pytest.approx([math.log(2)] * 2)


def test_label_smoothing_mixes_in_the_loss_of_the_opposite_label() -> None:
    values = dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=0.25)[0].item()
    assert values == pytest.approx(0.75 * math.log(1 + math.exp(-1.0)) + 0.25 * math.log(1 + math.exp(1.0)), abs=1e-6)


def test_dpo_of_a_large_margin_is_finite() -> None:
    assert dpo_loss(1000 * POLICY, REFERENCE, beta=1.0).isfinite().all()


def test_bradley_terry_of_equal_rewards_is_ln_2_and_decreases_with_the_gap() -> None:
    values = bradley_terry_loss(torch.tensor([[0.0, 0.0], [2.0, 0.0]])).tolist()
    assert values == pytest.approx([math.log(2), math.log(1 + math.exp(-2.0))], abs=1e-6)


def test_a_tie_counts_as_half_correct() -> None:
    assert preference_accuracy(torch.tensor([1.0, -1.0, 0.0, 2.0])).item() == pytest.approx(0.625)


def test_robust_dpo_subtracts_the_opposite_label_and_rescales() -> None:
    values = robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=0.25)[0].item()
    assert values == pytest.approx((0.75 * 0.3132617 - 0.25 * 1.3132617) / 0.5, abs=1e-6)


def test_robust_dpo_of_labels_flipped_at_the_assumed_rate_is_dpo_of_the_true_labels() -> None:
    flipped = robust_dpo_loss(POLICY.flip(1), REFERENCE.flip(1), beta=0.5, label_smoothing=0.2)
    mean = 0.8 * robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=0.2) + 0.2 * flipped
    assert mean.tolist() == pytest.approx(dpo_loss(POLICY, REFERENCE, beta=0.5).tolist(), abs=1e-6)


def test_robust_dpo_accepts_one_epsilon_per_pair() -> None:
    pair_losses = robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=torch.tensor([0.25, 0.0])).tolist()
    assert pair_losses[0] == robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=0.25)[0].item()
    assert pair_losses[1] == dpo_loss(POLICY, REFERENCE, beta=0.5)[1].item()


def test_ipo_is_the_squared_distance_of_the_margin_per_token_from_its_target() -> None:
    # 3/4 - 1/5 = 0.55 and 0/5 - 1/2 = -0.5 nats per token, compared with 1 / (2 * 0.5) = 1
    assert ipo_loss(POLICY, REFERENCE, LENGTHS, beta=0.5).tolist() == pytest.approx([0.2025, 2.25], abs=1e-6)


def test_the_hinge_is_zero_beyond_its_target_margin() -> None:
    assert hinge_loss(POLICY, REFERENCE, beta=0.4).tolist() == pytest.approx([0.2, 1.4])
    assert hinge_loss(POLICY, REFERENCE, beta=1.0).tolist() == [0.0, 2.0]


def test_simpo_compares_mean_log_probabilities_with_a_target_margin() -> None:
    # -10/4 + 20/5 = 1.5 and -5/5 + 4/2 = 1 nats per token
    assert length_normalized_margin(POLICY, LENGTHS).tolist() == [1.5, 1.0]
    values = simpo_loss(POLICY, LENGTHS, beta=2.0, gamma=0.5).tolist()
    assert values == pytest.approx([math.log(1 + math.exp(-2.5)), math.log(1 + math.exp(-1.5))], abs=1e-6)


def test_length_regularization_shifts_the_margin_by_the_length_difference() -> None:
    # gaps 1 and -0.5; the chosen responses are one token shorter and three tokens longer
    values = length_regularized_dpo_loss(POLICY, REFERENCE, LENGTHS, beta=0.5, length_penalty=0.1).tolist()
    assert values == pytest.approx([math.log(1 + math.exp(-0.9)), math.log(1 + math.exp(0.2))], abs=1e-6)


def test_dr_dpo_is_the_soft_minimum_of_the_losses_in_a_step() -> None:
    pair_losses = torch.tensor([math.log(2), math.log(4)])
    assert dr_dpo_loss(pair_losses, torch.ones(2), dr_dpo_beta=1.0).item() == pytest.approx(math.log(8 / 3))
    weighted = dr_dpo_loss(pair_losses, torch.tensor([3.0, 1.0]), dr_dpo_beta=1.0).item()
    assert weighted == pytest.approx(-math.log((3 / 2 + 1 / 4) / 4))
    assert dr_dpo_loss(pair_losses, torch.ones(2), dr_dpo_beta=1e4).item() == pytest.approx(
        pair_losses.mean().item(), abs=1e-3
    )


def test_dr_dpo_downweights_pairs_with_a_larger_loss() -> None:
    pair_losses = torch.tensor([math.log(2), math.log(4)], requires_grad=True)
    dr_dpo_loss(pair_losses, torch.ones(2), dr_dpo_beta=1.0).backward()  # type: ignore[no-untyped-call]
    assert pair_losses.grad is not None
    assert pair_losses.grad.tolist() == pytest.approx([2 / 3, 1 / 3])


def test_the_confidence_weight_is_zero_at_one_half_and_one_at_certainty() -> None:
    assert confidence_weight(torch.tensor([0.5, 0.8, 1.0])).tolist() == pytest.approx([0.0, 0.6, 1.0])


def test_hardened_predictions_choose_the_first_answer_for_the_half_with_the_largest_margins() -> None:
    logprobs = torch.tensor([[-1.0, -6.0], [-1.0, -2.0], [-1.0, -4.0], [-1.0, -3.0]])  # all prefer the first answer
    assert harden_predictions(logprobs).tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert harden_predictions(logprobs[:3]).tolist() == [
        [1, 0],
        [0, 1],
        [0.5, 0.5],
    ]  # the median is half of pair_losses


def test_the_confidence_loss_mixes_the_models_own_predictions_into_the_labels() -> None:
    logprobs = torch.tensor([[-1.0, -3.0], [-2.0, -1.0]])
    labels = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    # the predictions are the first and the second answer, so the targets are (1/2, 1/2) and (0, 1)
    assert aux_confidence_loss(logprobs, labels, prediction_weight=0.5).tolist() == [2.0, 1.0]
    assert (
        aux_confidence_loss(logprobs, labels, prediction_weight=0.0).tolist()
        == answer_cross_entropy(logprobs, labels).tolist()
    )
    assert aux_confidence_loss(logprobs, labels, prediction_weight=1.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 0.0), (0.05, 0.125), (0.1, 0.25), (0.19, 0.475), (0.2, 0.5), (0.9, 0.5)]
)
def test_warmup_is_linear_and_continuous(progress: float, weight: float) -> None:
    assert linear_warmup(0.5, 0.2, progress) == pytest.approx(weight)


def test_without_warmup_the_weight_applies_from_the_first_step() -> None:
    assert linear_warmup(0.5, 0.0, 0.0) == 0.5
