"""The losses, against numbers worked by hand."""

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

# Chosen and rejected, in nats: the policy raised the first pair's gap by 3 - 1 = 2 and lowered the second's by 1.
POLICY = torch.tensor([[-10.0, -20.0], [-5.0, -4.0]])
REFERENCE = torch.tensor([[-13.0, -21.0], [-5.0, -5.0]])
LENGTHS = torch.tensor([[4, 5], [5, 2]])


def test_the_implicit_margin_is_the_gap_of_log_ratios() -> None:
    assert implicit_margin(POLICY, REFERENCE).tolist() == [2.0, -1.0]


def test_dpo_is_the_log_loss_of_beta_times_the_margin() -> None:
    found = dpo_loss(POLICY, REFERENCE, beta=0.5).tolist()
    assert found == pytest.approx([math.log(1 + math.exp(-1.0)), math.log(1 + math.exp(0.5))], abs=1e-6)


def test_dpo_is_ln_2_where_policy_and_reference_agree() -> None:
    assert dpo_loss(REFERENCE, REFERENCE, beta=0.1).tolist() == pytest.approx([math.log(2)] * 2)


def test_label_smoothing_mixes_in_the_loss_of_the_opposite_label() -> None:
    found = dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=0.25)[0].item()
    assert found == pytest.approx(0.75 * math.log(1 + math.exp(-1.0)) + 0.25 * math.log(1 + math.exp(1.0)), abs=1e-6)


def test_dpo_of_a_large_margin_is_finite() -> None:
    assert dpo_loss(1000 * POLICY, REFERENCE, beta=1.0).isfinite().all()


def test_bradley_terry_of_equal_rewards_is_ln_2_and_falls_with_the_gap() -> None:
    found = bradley_terry_loss(torch.tensor([[0.0, 0.0], [2.0, 0.0]])).tolist()
    assert found == pytest.approx([math.log(2), math.log(1 + math.exp(-2.0))], abs=1e-6)


def test_a_tie_counts_as_half_right() -> None:
    assert preference_accuracy(torch.tensor([1.0, -1.0, 0.0, 2.0])).item() == pytest.approx(0.625)


def test_robust_dpo_takes_the_opposite_label_away_and_scales_up() -> None:
    found = robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=0.25)[0].item()
    assert found == pytest.approx((0.75 * 0.3132617 - 0.25 * 1.3132617) / 0.5, abs=1e-6)


def test_robust_dpo_of_labels_flipped_as_often_as_told_is_dpo_of_the_true_ones() -> None:
    flipped = robust_dpo_loss(POLICY.flip(1), REFERENCE.flip(1), beta=0.5, label_smoothing=0.2)
    mean = 0.8 * robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=0.2) + 0.2 * flipped
    assert mean.tolist() == pytest.approx(dpo_loss(POLICY, REFERENCE, beta=0.5).tolist(), abs=1e-6)


def test_robust_dpo_can_have_an_epsilon_for_each_pair() -> None:
    each = robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=torch.tensor([0.25, 0.0])).tolist()
    assert each[0] == robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=0.25)[0].item()
    assert each[1] == dpo_loss(POLICY, REFERENCE, beta=0.5)[1].item()


def test_ipo_is_the_squared_distance_of_the_margin_a_token_from_half_of_one_by_beta() -> None:
    # 3/4 - 1/5 = 0.55 and 0/5 - 1/2 = -0.5 nats a token, against 1 / (2 * 0.5) = 1
    assert ipo_loss(POLICY, REFERENCE, LENGTHS, beta=0.5).tolist() == pytest.approx([0.2025, 2.25], abs=1e-6)


def test_the_hinge_rests_past_one_by_beta() -> None:
    assert hinge_loss(POLICY, REFERENCE, beta=0.4).tolist() == pytest.approx([0.2, 1.4])
    assert hinge_loss(POLICY, REFERENCE, beta=1.0).tolist() == [0.0, 2.0]


def test_simpo_compares_mean_log_probabilities_against_a_margin() -> None:
    # -10/4 + 20/5 = 1.5 and -5/5 + 4/2 = 1 nats a token
    assert length_normalized_margin(POLICY, LENGTHS).tolist() == [1.5, 1.0]
    found = simpo_loss(POLICY, LENGTHS, beta=2.0, gamma=0.5).tolist()
    assert found == pytest.approx([math.log(1 + math.exp(-2.5)), math.log(1 + math.exp(-1.5))], abs=1e-6)


def test_length_regularization_explains_a_longer_chosen_response_by_its_length() -> None:
    # gaps 1 and -0.5; the chosen ones are one token shorter and three longer
    found = length_regularized_dpo_loss(POLICY, REFERENCE, LENGTHS, beta=0.5, length_penalty=0.1).tolist()
    assert found == pytest.approx([math.log(1 + math.exp(-0.9)), math.log(1 + math.exp(0.2))], abs=1e-6)


def test_dr_dpo_is_the_soft_minimum_of_a_steps_losses() -> None:
    each = torch.tensor([math.log(2), math.log(4)])
    assert dr_dpo_loss(each, torch.ones(2), dr_dpo_beta=1.0).item() == pytest.approx(math.log(8 / 3))
    weighted = dr_dpo_loss(each, torch.tensor([3.0, 1.0]), dr_dpo_beta=1.0).item()
    assert weighted == pytest.approx(-math.log((3 / 2 + 1 / 4) / 4))
    assert dr_dpo_loss(each, torch.ones(2), dr_dpo_beta=1e4).item() == pytest.approx(each.mean().item(), abs=1e-3)


def test_dr_dpo_pulls_less_at_pairs_of_a_larger_loss() -> None:
    each = torch.tensor([math.log(2), math.log(4)], requires_grad=True)
    dr_dpo_loss(each, torch.ones(2), dr_dpo_beta=1.0).backward()  # type: ignore[no-untyped-call]
    assert each.grad is not None
    assert each.grad.tolist() == pytest.approx([2 / 3, 1 / 3])


def test_a_coin_has_no_confidence_and_certainty_all_of_it() -> None:
    assert confidence_weight(torch.tensor([0.5, 0.8, 1.0])).tolist() == pytest.approx([0.0, 0.6, 1.0])


def test_a_hardened_answer_is_the_first_for_the_half_that_leans_to_it_most() -> None:
    leaning = torch.tensor([[-1.0, -6.0], [-1.0, -2.0], [-1.0, -4.0], [-1.0, -3.0]])  # all to the first answer
    assert harden_predictions(leaning).tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert harden_predictions(leaning[:3]).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]  # the middle one is half of each


def test_the_confidence_loss_puts_the_models_own_answer_into_the_label() -> None:
    summed = torch.tensor([[-1.0, -3.0], [-2.0, -1.0]])
    labels = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    # own answers are the first and the second, so the targets are (1/2, 1/2) and (0, 1)
    assert aux_confidence_loss(summed, labels, prediction_weight=0.5).tolist() == [2.0, 1.0]
    assert (
        aux_confidence_loss(summed, labels, prediction_weight=0.0).tolist()
        == answer_cross_entropy(summed, labels).tolist()
    )
    assert aux_confidence_loss(summed, labels, prediction_weight=1.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("progress", "share"), [(0.0, 0.0), (0.05, 0.125), (0.1, 0.25), (0.19, 0.475), (0.2, 0.5), (0.9, 0.5)]
)
def test_the_warm_up_is_linear_and_does_not_leap(progress: float, share: float) -> None:
    assert linear_warmup(0.5, 0.2, progress) == pytest.approx(share)


def test_without_a_warm_up_the_weight_holds_from_the_first_step() -> None:
    assert linear_warmup(0.5, 0.0, 0.0) == 0.5
