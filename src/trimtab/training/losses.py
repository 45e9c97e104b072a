"""Loss functions on tensors, one value per pair. docs/reference/losses.md says when to use which.

`policy` and `reference`: summed log-probabilities of the chosen and the rejected response, float32, shape (pairs, 2), in
nats. `lengths`: token counts of the same responses, shape (pairs, 2). `gap` below is beta times the implicit margin.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def dpo_loss(policy: Tensor, reference: Tensor, *, beta: float, label_smoothing: float | Tensor = 0.0) -> Tensor:
    """Direct preference optimization, -log sigmoid(gap) (Rafailov et al. 2023, eq. 7; Tao & Li 2025, eq. 3).

    If `label_smoothing` e in [0, 0.5), a scalar or one value per pair, is above 0, this is conservative DPO (Mitchell 2023,
    cDPO): -(1 - e) log sigmoid(gap) - e log sigmoid(-gap), with its minimum at gap = log((1 - e) / e). Returns shape (pairs,).
    """
    gap = beta * implicit_margin(policy, reference)
    return -(1.0 - label_smoothing) * logsigmoid(gap) - label_smoothing * logsigmoid(-gap)


def robust_dpo_loss(policy: Tensor, reference: Tensor, *, beta: float, label_smoothing: float | Tensor) -> Tensor:
    """Robust DPO (Chowdhury et al. 2024): [-(1 - e) log sigmoid(gap) + e log sigmoid(-gap)] / (1 - 2e), shape (pairs,).

    Its expectation over labels flipped with probability e is the DPO loss of the true labels. `label_smoothing` is e in
    [0, 0.5), a scalar or one value per pair. Unbounded below: it falls by e / (1 - 2e) per unit of a large gap.
    """
    gap = beta * implicit_margin(policy, reference)
    correct, flipped = -logsigmoid(gap), -logsigmoid(-gap)
    return ((1.0 - label_smoothing) * correct - label_smoothing * flipped) / (1.0 - 2.0 * label_smoothing)


def ipo_loss(policy: Tensor, reference: Tensor, lengths: Tensor, *, beta: float) -> Tensor:
    """Identity preference optimization, (h - 1 / (2 beta))^2 (Azar et al. 2024, eq. 17; beta is their tau), shape (pairs,).

    h is the implicit margin with each response's log-ratio divided by its length, as in TRL after advice from the authors; the
    published equation sums over tokens.
    """
    ratio = (policy - reference) / lengths.clamp(min=1)
    return (ratio[:, 0] - ratio[:, 1] - 1.0 / (2.0 * beta)) ** 2


def hinge_loss(policy: Tensor, reference: Tensor, *, beta: float) -> Tensor:
    """max(0, 1 - gap), shape (pairs,): the hinge of SLiC on log-ratios (Zhao et al. 2023; Liu et al. 2024, hinge-norm)."""
    return (1.0 - beta * implicit_margin(policy, reference)).clamp(min=0.0)


def simpo_loss(policy: Tensor, lengths: Tensor, *, beta: float, gamma: float) -> Tensor:
    """SimPO, -log sigmoid(beta m - gamma), shape (pairs,), with m the `length_normalized_margin` (Meng et al. 2024, eq. 6).

    Needs no reference."""
    return -logsigmoid(beta * length_normalized_margin(policy, lengths) - gamma)


def length_regularized_dpo_loss(
    policy: Tensor, reference: Tensor, lengths: Tensor, *, beta: float, length_penalty: float
) -> Tensor:
    """-log sigmoid(gap + a (|chosen| - |rejected|)), shape (pairs,): length-regularized DPO (Park et al. 2024, R-DPO).

    `length_penalty` a, in nats per token, is the cost of a token in the reward that is maximized. The policy does not have to
    learn the part of a label that length alone explains.
    """
    length_difference = lengths[:, 0] - lengths[:, 1]
    return -logsigmoid(beta * implicit_margin(policy, reference) + length_penalty * length_difference)


def dr_dpo_loss(pair_losses: Tensor, weights: Tensor, *, dr_dpo_beta: float) -> Tensor:
    """-b log(sum w exp(-l / b) / sum w) over the losses l of a full step, a scalar (Wu et al. 2025, Dr. DPO).

    `pair_losses` and `weights`: shape (pairs,). A pair's gradient is weighted by w exp(-l / b), which downweights pairs whose
    label the policy finds unlikely. A large `dr_dpo_beta` b gives the weighted mean.
    """
    return -dr_dpo_beta * ((weights.log() - pair_losses / dr_dpo_beta).logsumexp(0) - weights.sum().log())


def confidence_weight(p_chosen: Tensor) -> Tensor:
    """2p - 1, in [0, 1] for p in [0.5, 1]: the weight of a pair in CW-PO (Afzali et al. 2026, eq. 8).

    They write it as 2 (sigmoid(r_chosen - r_rejected) - 1/2); under Bradley-Terry the sigmoid is p. Their loss (eq. 7) is the
    mean of the weighted losses over pairs, which is not divided by the mean weight.
    """
    return 2.0 * p_chosen - 1.0


def implicit_margin(policy: Tensor, reference: Tensor) -> Tensor:
    """log[pi(y1)/pi_ref(y1)] - log[pi(y2)/pi_ref(y2)] in nats, shape (pairs,): eq. 5 of Tao & Li without its beta."""
    ratio = policy - reference
    return ratio[:, 0] - ratio[:, 1]


def length_normalized_margin(policy: Tensor, lengths: Tensor) -> Tensor:
    """log pi(y1) / |y1| - log pi(y2) / |y2| in nats per token, shape (pairs,)."""
    mean = policy / lengths.clamp(min=1)
    return mean[:, 0] - mean[:, 1]


def bradley_terry_loss(rewards: Tensor) -> Tensor:
    """-log sigmoid(r_chosen - r_rejected) for rewards of shape (pairs, 2) (Tao & Li 2025, eq. 1)."""
    return -logsigmoid(rewards[:, 0] - rewards[:, 1])


def preference_accuracy(margins: Tensor) -> Tensor:
    """Share of margins above zero; a tie counts as one half."""
    return (margins > 0).float().mean() + 0.5 * (margins == 0).float().mean()


def answer_cross_entropy(logprobs: Tensor, weights: Tensor) -> Tensor:
    """-w1 log p(answer 1) - w2 log p(answer 2), float32, shape (N,): cross-entropy with hard or soft labels.

    Both arguments have shape (N, 2); each row of `weights` sums to 1.
    """
    return -(logprobs * weights).sum(1)


def aux_confidence_loss(logprobs: Tensor, weights: Tensor, *, prediction_weight: float) -> Tensor:
    """(1 - c) CE(label) + c CE(own prediction), shape (N,): the auxiliary confidence loss (Burns et al. 2023, section 4.3).

    Arguments as in `answer_cross_entropy`, for a full step; c is `prediction_weight`, in [0, 1]. The predictions are those of
    `harden_predictions`, without gradient.
    """
    targets = (1.0 - prediction_weight) * weights + prediction_weight * harden_predictions(logprobs)
    return answer_cross_entropy(logprobs, targets)


def harden_predictions(logprobs: Tensor) -> Tensor:
    """The model's own answers as 0 and 1, shape (N, 2): answer 1 for the half with the largest margins, answer 2 for the rest.

    The threshold is the median of log p(answer 1) - log p(answer 2) over all N, so a model with position bias gives both
    answers equally often. A margin exactly at the threshold counts as half of each.
    """
    margins = (logprobs[:, 0] - logprobs[:, 1]).detach()
    first = 0.5 * (1.0 + (margins - margins.quantile(0.5)).sign())
    return torch.stack([first, 1.0 - first], dim=1)


def linear_warmup(weight: float, warmup_ratio: float, progress: float) -> float:
    """Grows linearly from 0 to `weight` over the first `warmup_ratio` of training. `progress` is the completed fraction."""
    return weight * min(1.0, progress / warmup_ratio) if warmup_ratio else weight
