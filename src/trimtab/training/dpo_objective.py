"""From the settings of DPO to the loss of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from torch import Tensor

from trimtab.config.training import DpoSettings
from trimtab.training import losses
from trimtab.training.trainer import LossFunction

# With one epsilon a pair, robust DPO divides by 1 - 2 epsilon: at 0.45 a pair counts ten times, beyond it is noise.
MAX_PAIR_LABEL_SMOOTHING = 0.45


@dataclass(frozen=True, slots=True)
class PairLogprobs:
    """Log-probabilities and token counts of chosen and rejected responses, each of the shape (pairs, 2)."""

    policy: Tensor
    reference: Tensor
    lengths: Tensor

    def swap_labels(self) -> PairLogprobs:
        """The same pairs under the opposite labels."""
        return PairLogprobs(self.policy.flip(1), self.reference.flip(1), self.lengths.flip(1))


def build_dpo_loss(settings: DpoSettings) -> LossFunction:
    """The loss of pairs under these settings, summed over them, with their accuracy and mean margin in nats.

    The first response of a pair is the chosen one. The margin of a loss without a reference is in nats a token.
    """

    def loss(summed: Tensor, inputs: Mapping[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        pairs = PairLogprobs(summed, inputs["reference"], inputs["counts"])
        each = compute_pair_losses(settings, pairs, inputs["p_first"])
        weights = (
            inputs["weight"] * losses.confidence_weight(inputs["p_first"])
            if settings.label_mode == "weighted"
            else inputs["weight"]
        )
        margins = _compute_margins(settings, pairs).detach()
        facts = {"accuracy": float(losses.preference_accuracy(margins)), "margin": float(margins.mean())}
        if settings.loss_type == "dr_dpo":
            return len(each) * losses.dr_dpo_loss(each, weights, dr_dpo_beta=settings.dr_dpo_beta), facts
        return (weights * each).sum(), facts

    return loss


def compute_pair_losses(settings: DpoSettings, pairs: PairLogprobs, p_chosen: Tensor) -> Tensor:
    """The loss of each pair, shape (pairs,); under soft labels p L(chosen, rejected) + (1 - p) L(rejected, chosen)."""
    if settings.label_mode != "soft":
        return _pair_losses(settings, pairs, p_chosen)
    return p_chosen * _pair_losses(settings, pairs, p_chosen) + (1.0 - p_chosen) * _pair_losses(
        settings, pairs.swap_labels(), p_chosen
    )


def _pair_losses(settings: DpoSettings, pairs: PairLogprobs, p_chosen: Tensor) -> Tensor:
    policy, reference, lengths, beta = pairs.policy, pairs.reference, pairs.lengths, settings.beta
    match settings.loss_type:
        case "sigmoid" | "dr_dpo":
            return losses.dpo_loss(policy, reference, beta=beta, label_smoothing=_label_smoothing(settings, p_chosen))
        case "robust":
            return losses.robust_dpo_loss(
                policy, reference, beta=beta, label_smoothing=_label_smoothing(settings, p_chosen)
            )
        case "ipo":
            return losses.ipo_loss(policy, reference, lengths, beta=beta)
        case "hinge":
            return losses.hinge_loss(policy, reference, beta=beta)
        case "simpo":
            return losses.simpo_loss(policy, lengths, beta=beta, gamma=settings.simpo_gamma)
        case "length_regularized":
            penalty = settings.length_penalty
            return losses.length_regularized_dpo_loss(policy, reference, lengths, beta=beta, length_penalty=penalty)
    assert_never(settings.loss)


def _label_smoothing(settings: DpoSettings, p_chosen: Tensor) -> float | Tensor:
    if settings.label_smoothing == "per_pair":
        return (1.0 - p_chosen).clamp(max=MAX_PAIR_LABEL_SMOOTHING)
    return settings.label_smoothing


def _compute_margins(settings: DpoSettings, pairs: PairLogprobs) -> Tensor:
    if settings.reference_free:
        return losses.length_normalized_margin(pairs.policy, pairs.lengths)
    return losses.implicit_margin(pairs.policy, pairs.reference)
