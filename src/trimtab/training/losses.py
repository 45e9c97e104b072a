"""The losses, pure: tensors in, one value a pair out."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo(policy: Tensor, reference: Tensor, *, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Direct preference optimization (Rafailov et al. 2023, eq. 7; Tao & Li 2025, eq. 3).

    `policy` and `reference`: summed log-probabilities of the chosen and the rejected response, shape (pairs, 2), in nats.
    With `label_smoothing` e in [0, 0.5): the conservative form, (1 - e) L(chosen) + e L(rejected).
    Returns the loss of each pair, shape (pairs,).
    """
    gap = beta * implicit_margin(policy, reference)
    return -(1.0 - label_smoothing) * logsigmoid(gap) - label_smoothing * logsigmoid(-gap)


def implicit_margin(policy: Tensor, reference: Tensor) -> Tensor:
    """log[pi(y1)/pi_ref(y1)] - log[pi(y2)/pi_ref(y2)] in nats, shape (pairs,): eq. 5 of Tao & Li without its beta."""
    ratio = policy - reference
    return ratio[:, 0] - ratio[:, 1]


def bradley_terry(rewards: Tensor) -> Tensor:
    """-log sigmoid(r_chosen - r_rejected) for rewards of shape (pairs, 2) (Tao & Li 2025, eq. 1)."""
    return -logsigmoid(rewards[:, 0] - rewards[:, 1])


def accuracy(margins: Tensor) -> Tensor:
    """Share of margins above zero, a tie counted as a half."""
    return (margins > 0).float().mean() + 0.5 * (margins == 0).float().mean()


def answers(summed: Tensor, weights: Tensor) -> Tensor:
    """-w1 log p(answer 1) - w2 log p(answer 2), float32, shape (N,): cross-entropy with hard or soft labels.

    Both arguments have the shape (N, 2); a row of `weights` sums to 1.
    """
    return -(summed * weights).sum(1)
