"""From settings to the loss of a step: which loss, and how a label's probability enters it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from trimtab.config.training import LOSSES, DpoSettings, LossType
from trimtab.training import losses
from trimtab.training.dpo_objective import MAX_PAIR_LABEL_SMOOTHING, build_dpo_loss

POLICY = torch.tensor([[-10.0, -20.0], [-5.0, -4.0]])
REFERENCE = torch.tensor([[-13.0, -21.0], [-5.0, -5.0]])
COUNTS = torch.tensor([[4, 5], [5, 2]])
P_CHOSEN = [0.9, 0.6]
# What a loss cannot do without, in numbers that move it.
NEEDED: dict[LossType, dict[str, Any]] = {"robust": {"label_smoothing": 0.2}, "simpo": {"beta": 2.0}}

each_loss = pytest.mark.parametrize("loss", LOSSES)


def total(
    recipe: DpoSettings, p_chosen: list[float], weight: tuple[float, float] = (1.0, 1.0), **changes: Any
) -> float:
    inputs = {
        "reference": REFERENCE,
        "counts": COUNTS,
        "p_first": torch.tensor(p_chosen),
        "weight": torch.tensor(weight),
    }
    summed, _ = build_dpo_loss(recipe)(POLICY, {**inputs, **changes}, 0.0)
    return summed.item()


def settings(loss: LossType, **more: Any) -> DpoSettings:
    return DpoSettings(**{"loss": loss, "beta": 0.5, **NEEDED.get(loss, {}), **more})


def sigmoid_loss(gap: float) -> float:
    return math.log(1 + math.exp(-gap))


def test_by_default_the_probability_of_a_label_does_not_matter() -> None:
    wanted = losses.dpo_loss(POLICY, REFERENCE, beta=0.1).sum().item()
    assert total(DpoSettings(), P_CHOSEN) == total(DpoSettings(), [1.0, 1.0]) == wanted


def test_a_soft_label_takes_the_loss_in_both_directions() -> None:
    wanted = 0.9 * sigmoid_loss(1) + 0.1 * sigmoid_loss(-1) + 0.6 * sigmoid_loss(-0.5) + 0.4 * sigmoid_loss(0.5)
    assert total(DpoSettings(beta=0.5, label_mode="soft"), P_CHOSEN) == pytest.approx(wanted, rel=1e-6)


def test_a_soft_label_asks_for_simpos_margin_in_both_directions() -> None:
    recipe = settings("simpo", labels="soft", gamma=0.5)
    wanted = 0.9 * sigmoid_loss(2.5) + 0.1 * sigmoid_loss(-3.5) + 0.6 * sigmoid_loss(1.5) + 0.4 * sigmoid_loss(-2.5)
    assert total(recipe, P_CHOSEN) == pytest.approx(wanted, rel=1e-6)


def test_a_weighted_label_counts_by_its_confidence() -> None:
    wanted = 0.8 * sigmoid_loss(1) + 0.2 * sigmoid_loss(-0.5)
    assert total(DpoSettings(beta=0.5, label_mode="weighted"), P_CHOSEN) == pytest.approx(wanted, rel=1e-6)


def test_a_pairs_own_weight_counts_under_every_kind_of_label() -> None:
    assert total(DpoSettings(beta=0.5), P_CHOSEN, (2.0, 0.0)) == pytest.approx(2 * sigmoid_loss(1), rel=1e-6)
    assert total(DpoSettings(beta=0.5, label_mode="weighted"), P_CHOSEN, (2.0, 0.0)) == pytest.approx(
        1.6 * sigmoid_loss(1), rel=1e-6
    )


def test_an_epsilon_a_pair_is_the_doubt_in_its_label_up_to_a_bound() -> None:
    found = total(settings("robust", label_smoothing="per_pair"), [0.9, 0.51])
    doubts = torch.tensor([0.1, MAX_PAIR_LABEL_SMOOTHING])
    wanted = losses.robust_dpo_loss(POLICY, REFERENCE, beta=0.5, label_smoothing=doubts).sum().item()
    assert found == pytest.approx(wanted, rel=1e-5)


def test_dr_dpo_is_one_figure_for_the_step_which_all_its_pairs_share() -> None:
    each = losses.dpo_loss(POLICY, REFERENCE, beta=0.5)
    wanted = -0.7 * math.log((-each / 0.7).exp().mean().item())
    assert total(settings("dr_dpo", dr_beta=0.7), P_CHOSEN) == pytest.approx(2 * wanted, rel=1e-5)


@each_loss
def test_a_certain_label_is_the_same_however_it_enters(loss: LossType) -> None:
    kinds = ("hard", "weighted") if loss == "robust" else ("hard", "soft", "weighted")
    found = [total(settings(loss, labels=kind), [1.0, 1.0]) for kind in kinds]
    assert found == pytest.approx([found[0]] * len(kinds))


@each_loss
def test_a_loss_falls_where_the_chosen_response_gains(loss: LossType) -> None:
    policy = POLICY.clone().requires_grad_(True)
    inputs = {"reference": REFERENCE, "counts": COUNTS, "p_first": torch.ones(2), "weight": torch.ones(2)}
    summed, facts = build_dpo_loss(settings(loss, beta=0.3))(policy, inputs, 0.0)
    summed.backward()  # type: ignore[no-untyped-call]
    assert policy.grad is not None
    assert (policy.grad[:, 0] < 0).all()
    assert (policy.grad[:, 1] > 0).all()
    assert facts["accuracy"] == (1.0 if loss == "simpo" else 0.5)


def test_only_simpo_does_without_a_reference() -> None:
    nothing = torch.full_like(REFERENCE, float("nan"))
    blind = [name for name in LOSSES if math.isfinite(total(settings(name), P_CHOSEN, reference=nothing))]
    assert blind == [name for name in LOSSES if settings(name).reference_free] == ["simpo"]
