"""The loss of a step for given settings, and the effect of the label probability."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from trimtab.config.training import LOSSES, DpoSettings, LossType
from trimtab.training import losses
from trimtab.training.dpo_objective import MAX_PAIR_LABEL_SMOOTHING, build_dpo_loss, build_item_count

POLICY = torch.tensor([[-10.0, -20.0], [-5.0, -4.0]])
REFERENCE = torch.tensor([[-13.0, -21.0], [-5.0, -5.0]])
COUNTS = torch.tensor([[4, 5], [5, 2]])
P_CHOSEN = [0.9, 0.6]
# Settings that a loss requires.
REQUIRED: dict[LossType, dict[str, Any]] = {"robust": {"label_smoothing": 0.2}, "simpo": {"beta": 2.0}}

for_each_loss = pytest.mark.parametrize("loss", LOSSES)


def total_loss(
    dpo: DpoSettings, p_chosen: list[float], weight: tuple[float, float] = (1.0, 1.0), **changes: Any
) -> float:
    inputs = {
        "reference": REFERENCE,
        "counts": COUNTS,
        "p_first": torch.tensor(p_chosen),
        "weight": torch.tensor(weight),
    }
    loss_sum, _ = build_dpo_loss(dpo)(POLICY, {**inputs, **changes}, 0.0)
    return loss_sum.item()


def make_settings(loss: LossType, **changes: Any) -> DpoSettings:
    return DpoSettings(**{"loss_type": loss, "beta": 0.5, **REQUIRED.get(loss, {}), **changes})


def sigmoid_loss(gap: float) -> float:
    return math.log(1 + math.exp(-gap))


def test_hard_labels_ignore_the_label_probability() -> None:
    expected = losses.dpo_loss(POLICY, REFERENCE, beta=0.1).sum().item()
    assert total_loss(DpoSettings(), P_CHOSEN) == total_loss(DpoSettings(), [1.0, 1.0]) == expected


def test_the_weights_of_cw_po_divide_by_pairs_or_by_their_sum() -> None:
    # CW-PO: rewards 1.2 and 0.2 apart give p = 0.768525 and 0.549834, and weights 2p - 1 = 0.537050 and 0.099668. The gaps are
    # 0.5 (3 - 1) = 1 and 0.5 (0 - 1) = -0.5, with losses log(1 + e^-1) = 0.313262 and log(1 + e^0.5) = 0.974077.
    p_chosen = [1 / (1 + math.exp(-1.2)), 1 / (1 + math.exp(-0.2))]
    total = 0.537050 * 0.313262 + 0.099668 * 0.974077
    inputs = {"p_first": torch.tensor(p_chosen), "weight": torch.ones(2), "reference": REFERENCE}
    for normalize, divisor in ((False, 2.0), (True, 0.537050 + 0.099668)):
        dpo = DpoSettings(beta=0.5, label_mode="weighted", normalize_weights=normalize)
        assert total_loss(dpo, p_chosen) == pytest.approx(total, rel=1e-5)
        assert build_item_count(dpo)(inputs) == pytest.approx(divisor, rel=1e-5)
    ties = {**inputs, "p_first": torch.full((2,), 0.5)}
    assert build_item_count(dpo)(ties) > 0


def test_soft_labels_use_the_loss_in_both_directions() -> None:
    expected = 0.9 * sigmoid_loss(1) + 0.1 * sigmoid_loss(-1) + 0.6 * sigmoid_loss(-0.5) + 0.4 * sigmoid_loss(0.5)
    assert total_loss(DpoSettings(beta=0.5, label_mode="soft"), P_CHOSEN) == pytest.approx(expected, rel=1e-6)


def test_soft_labels_apply_the_simpo_margin_in_both_directions() -> None:
    dpo = make_settings("simpo", label_mode="soft", simpo_gamma=0.5)
    expected = 0.9 * sigmoid_loss(2.5) + 0.1 * sigmoid_loss(-3.5) + 0.6 * sigmoid_loss(1.5) + 0.4 * sigmoid_loss(-2.5)
    assert total_loss(dpo, P_CHOSEN) == pytest.approx(expected, rel=1e-6)


def test_weighted_labels_are_weighted_by_confidence() -> None:
    expected = 0.8 * sigmoid_loss(1) + 0.2 * sigmoid_loss(-0.5)
    assert total_loss(DpoSettings(beta=0.5, label_mode="weighted"), P_CHOSEN) == pytest.approx(expected, rel=1e-6)


def test_the_weight_of_a_pair_applies_in_every_label_mode() -> None:
    assert total_loss(DpoSettings(beta=0.5), P_CHOSEN, (2.0, 0.0)) == pytest.approx(2 * sigmoid_loss(1), rel=1e-6)
    assert total_loss(DpoSettings(beta=0.5, label_mode="weighted"), P_CHOSEN, (2.0, 0.0)) == pytest.approx(
        1.6 * sigmoid_loss(1), rel=1e-6
    )


def test_per_pair_label_smoothing_is_the_label_uncertainty_up_to_a_bound() -> None:
    values = total_loss(make_settings("robust", label_smoothing="per_pair"), [0.9, 0.51])
    uncertainties = torch.tensor([0.1, MAX_PAIR_LABEL_SMOOTHING])
    expected = losses.robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=uncertainties).sum().item()
    assert values == pytest.approx(expected, rel=1e-5)


def test_dr_dpo_is_one_value_per_step_shared_by_its_pairs() -> None:
    pair_losses = losses.dpo_loss(POLICY, REFERENCE, beta=0.5)
    expected = -0.7 * math.log((-pair_losses / 0.7).exp().mean().item())
    assert total_loss(make_settings("dr_dpo", dr_dpo_beta=0.7), P_CHOSEN) == pytest.approx(2 * expected, rel=1e-5)


@for_each_loss
def test_certain_labels_give_the_same_loss_in_every_label_mode(loss: LossType) -> None:
    modes = ("hard", "weighted") if loss == "robust" else ("hard", "soft", "weighted")
    values = [total_loss(make_settings(loss, label_mode=mode), [1.0, 1.0]) for mode in modes]
    assert values == pytest.approx([values[0]] * len(modes))


@for_each_loss
def test_the_loss_decreases_as_the_chosen_response_becomes_likelier(loss: LossType) -> None:
    policy = POLICY.clone().requires_grad_(True)
    inputs = {"reference": REFERENCE, "counts": COUNTS, "p_first": torch.ones(2), "weight": torch.ones(2)}
    loss_sum, metrics = build_dpo_loss(make_settings(loss, beta=0.3))(policy, inputs, 0.0)
    loss_sum.backward()  # type: ignore[no-untyped-call]
    assert policy.grad is not None
    assert (policy.grad[:, 0] < 0).all()
    assert (policy.grad[:, 1] > 0).all()
    assert metrics["accuracy"] == (1.0 if loss == "simpo" else 0.5)


def test_only_simpo_needs_no_reference() -> None:
    missing = torch.full_like(REFERENCE, float("nan"))
    reference_free = [
        name for name in LOSSES if math.isfinite(total_loss(make_settings(name), P_CHOSEN, reference=missing))
    ]
    assert reference_free == [name for name in LOSSES if make_settings(name).reference_free] == ["simpo"]
