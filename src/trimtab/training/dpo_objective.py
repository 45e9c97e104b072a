"""Builds the loss of a training step from the DPO settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from torch import Tensor

from trimtab.config.training import DpoSettings
from trimtab.training import losses
from trimtab.training.trainer import LossFunction, count_pairs

# Robust DPO divides by 1 - 2 epsilon. With one epsilon per pair, a pair at 0.45 has a tenfold weight; more would add noise.
MAX_PAIR_LABEL_SMOOTHING = 0.45
# Avoids a division by zero if all labels of a micro-batch are ties in float32.
MIN_WEIGHT_SUM = 1e-6


@dataclass(frozen=True, slots=True)
class PairLogprobs:
    """Log-probabilities and token counts of the chosen and rejected responses, each of shape (pairs, 2)."""

    policy: Tensor
    reference: Tensor
    lengths: Tensor

    def swap_labels(self) -> PairLogprobs:
        """The same pairs with chosen and rejected swapped."""
        return PairLogprobs(self.policy.flip(1), self.reference.flip(1), self.lengths.flip(1))


def build_dpo_loss(settings: DpoSettings) -> LossFunction:
    """The loss summed over pairs. Logs accuracy and the mean margin, in nats, or in nats per token for a reference-free loss.

    The first response of a pair is the chosen one.
    """

    def loss(logprobs: Tensor, inputs: Mapping[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        pairs = PairLogprobs(logprobs, inputs["reference"], inputs["counts"])
        pair_losses = compute_pair_losses(settings, pairs, inputs["p_first"])
        weights = _compute_weights(settings, inputs)
        margins = _compute_margins(settings, pairs).detach()
        metrics = {"accuracy": float(losses.preference_accuracy(margins)), "margin": float(margins.mean())}
        if settings.loss_type == "dr_dpo":
            step_loss = losses.dr_dpo_loss(pair_losses, weights, dr_dpo_beta=settings.dr_dpo_beta)
            return len(pair_losses) * step_loss, metrics
        return (weights * pair_losses).sum(), metrics

    return loss


def build_item_count(settings: DpoSettings) -> Callable[[Mapping[str, Tensor]], float]:
    """What the summed loss of a step is divided by, for each micro-batch: its pairs, or with normalized weights their sum."""
    if not settings.normalize_weights:
        return count_pairs
    return lambda inputs: max(MIN_WEIGHT_SUM, float(_compute_weights(settings, inputs).sum()))


def _compute_weights(settings: DpoSettings, inputs: Mapping[str, Tensor]) -> Tensor:
    weights = inputs["weight"]
    return weights * losses.confidence_weight(inputs["p_first"]) if settings.label_mode == "weighted" else weights


def compute_pair_losses(settings: DpoSettings, pairs: PairLogprobs, p_chosen: Tensor) -> Tensor:
    """The loss of each pair, shape (pairs,). Soft labels give p L(chosen, rejected) + (1 - p) L(rejected, chosen)."""
    forward = _pair_losses(settings, pairs, p_chosen)
    if settings.label_mode != "soft":
        return forward
    return p_chosen * forward + (1.0 - p_chosen) * _pair_losses(settings, pairs.swap_labels(), p_chosen)


def _pair_losses(settings: DpoSettings, pairs: PairLogprobs, p_chosen: Tensor) -> Tensor:
    policy, reference, lengths, beta = pairs.policy, pairs.reference, pairs.lengths, settings.beta
    match settings.loss_type:
        case "sigmoid" | "dr_dpo":
            epsilon = _label_smoothing(settings, p_chosen)
            return losses.dpo_loss(policy, reference, beta=beta, label_smoothing=epsilon)
        case "robust":
            epsilon = _label_smoothing(settings, p_chosen)
            return losses.robust_dpo_loss(policy, reference, beta=beta, label_smoothing=epsilon)
        case "ipo":
            return losses.ipo_loss(policy, reference, lengths, beta=beta)
        case "hinge":
            return losses.hinge_loss(policy, reference, beta=beta)
        case "simpo":
            return losses.simpo_loss(policy, lengths, beta=beta, gamma=settings.simpo_gamma)
        case "length_regularized":
            penalty = settings.length_penalty
            return losses.length_regularized_dpo_loss(policy, reference, lengths, beta=beta, length_penalty=penalty)
    assert_never(settings.loss_type)


def _label_smoothing(settings: DpoSettings, p_chosen: Tensor) -> float | Tensor:
    if settings.label_smoothing == "per_pair":
        return (1.0 - p_chosen).clamp(max=MAX_PAIR_LABEL_SMOOTHING)
    return settings.label_smoothing


def _compute_margins(settings: DpoSettings, pairs: PairLogprobs) -> Tensor:
    if settings.reference_free:
        return losses.length_normalized_margin(pairs.policy, pairs.lengths)
    return losses.implicit_margin(pairs.policy, pairs.reference)
