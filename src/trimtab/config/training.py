"""What training is told. Every default states its source: "paper" is Tao & Li (2025), tables 7 and 8; "ours" is what the
paper leaves out or lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from trimtab.core.component import Component, Settings

LossType = Literal["sigmoid", "robust", "ipo", "hinge", "simpo", "length_regularized", "dr_dpo"]
PER_PAIR: Literal["per_pair"] = "per_pair"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossInfo:
    """What a loss of DPO's family is, and which settings it reads besides `beta`, `labels` and those of the training."""

    description: str
    used_settings: tuple[str, ...] = ()


# In TRL's names where it has them.
LOSSES: Mapping[LossType, LossInfo] = {
    "sigmoid": LossInfo(
        description="DPO's own (Rafailov et al. 2023); with label_smoothing conservative DPO.",
        used_settings=("label_smoothing",),
    ),
    "robust": LossInfo(
        description="Robust DPO: unbiased where a share label_smoothing of the labels, above 0 or per_pair, is flipped "
        "(Chowdhury et al. 2024).",
        used_settings=("label_smoothing",),
    ),
    "ipo": LossInfo(description="A margin of 1 / (2 beta) nats a token and no more (Azar et al. 2024)."),
    "hinge": LossInfo(description="Nothing past a margin of 1 / beta nats (Zhao et al. 2023; Liu et al. 2024)."),
    "simpo": LossInfo(
        description="SimPO: mean log-probability of a token against a margin gamma, no reference (Meng et al. 2024).",
        used_settings=("simpo_gamma",),
    ),
    "length_regularized": LossInfo(
        description="DPO where each token costs length_penalty of the reward (Park et al. 2024).",
        used_settings=("length_penalty",),
    ),
    "dr_dpo": LossInfo(
        description="Dr. DPO: pairs whose label the policy finds unlikely count less (Wu et al. 2025).",
        used_settings=("dr_dpo_beta",),
    ),
}


def _parse_label_smoothing(value: Any) -> float | Literal["per_pair"]:
    if value == PER_PAIR:
        return PER_PAIR
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 0.5:
        return float(value)
    raise ValueError(f"must be a number of at least 0 and below 0.5, or {PER_PAIR}, got {value!r}")


LabelSmoothing = Annotated[float | Literal["per_pair"], PlainValidator(_parse_label_smoothing)]


class _CommonSettings(Component):
    """What every kind of training has."""

    num_train_epochs: float = Field(1.0, gt=0, description="paper")
    lora_alpha: int | None = Field(None, ge=1, description="ours: twice the rank where not given")
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = Field("cosine", description="ours")
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="ours; share of the steps")
    weight_decay: float = Field(0.0, ge=0, description="ours")
    max_grad_norm: float = Field(1.0, gt=0, description="ours")


class SftSettings(_CommonSettings):
    """Supervised fine-tuning on one response a prompt; the loss is on the response alone (ours; the paper does not say)."""

    learning_rate: float = Field(2e-5, gt=0, description="ours: the paper's figure is lost")
    batch_size: int = Field(32, ge=1, description="paper; sequences a step")
    lora_r: int = Field(0, ge=0, description="paper; 0 trains every weight")


class DpoSettings(_CommonSettings):
    """Direct preference optimization with LoRA; the reference is the model with the adapter switched off."""

    beta: float = Field(0.1, gt=0, description="paper, HH-RLHF; 0.5 for TL;DR")
    learning_rate: float = Field(1e-4, gt=0, description="ours: the paper's figure is lost; for LoRA of rank 8")
    batch_size: int = Field(16, ge=1, description="paper; pairs a step")
    lora_r: int = Field(8, ge=1, description="paper")
    loss_type: LossType = Field("sigmoid", description="paper")
    label_mode: Literal["hard", "soft", "weighted"] = Field(
        "hard",
        description="how a label's probability p enters: the likelier response alone (paper); p and 1 - p on the loss in "
        "both directions; or 2p - 1 as the pair's weight (CW-PO)",
    )
    label_smoothing: LabelSmoothing = Field(
        0.0,
        description="paper uses none; sigmoid, robust: share of labels taken to be wrong, or per_pair: 1 - p of each",
    )
    simpo_gamma: float = Field(
        0.5, ge=0, description="TRL; simpo: the margin in its sigmoid; the paper has 0.3 to 1.6 with beta 2 to 2.5"
    )
    length_penalty: float = Field(0.01, gt=0, description="ours; length_regularized: nats a token")
    dr_dpo_beta: float = Field(
        1.0, gt=0, description="Dr. DPO's code; dr_dpo: the smaller, the less doubtful pairs count"
    )

    @property
    def reference_free(self) -> bool:
        """Whether the loss looks at the policy alone."""
        return self.loss_type == "simpo"

    @model_validator(mode="after")
    def _reject_unused_settings(self) -> Self:
        for name in sorted({each for known in LOSSES.values() for each in known.used_settings}):
            changed = getattr(self, name) != type(self).model_fields[name].default
            if changed and name not in LOSSES[self.loss_type].used_settings:
                readers = [loss for loss, known in LOSSES.items() if name in known.used_settings]
                raise ValueError(f"{name}: loss {self.loss_type} does not read it; {' and '.join(readers)} would")
        return self

    @model_validator(mode="after")
    def _check_label_smoothing(self) -> Self:
        if self.loss_type == "robust" and self.label_smoothing == 0.0:
            raise ValueError(
                "label_smoothing: loss robust needs a share above 0, or per_pair; with 0 it is loss sigmoid"
            )
        if self.loss_type == "robust" and self.label_mode == "soft":
            raise ValueError(
                "labels: loss robust corrects for doubt itself, so it takes hard or weighted labels, not soft"
            )
        if self.loss_type == "sigmoid" and self.label_smoothing == PER_PAIR:
            raise ValueError(
                "label_smoothing: per_pair is for loss robust; for loss sigmoid it is written labels: soft"
            )
        if self.label_mode == "soft" and self.label_smoothing != 0.0:
            raise ValueError("label_smoothing: labels: soft has each pair's own share of doubt already; leave this out")
        return self


class RewardModelSettings(_CommonSettings):
    """A Bradley-Terry reward model: LoRA and a linear head on the last token of each response. All defaults are ours."""

    learning_rate: float = Field(3e-4, gt=0, description="ours")
    batch_size: int = Field(16, ge=1, description="ours; pairs a step")
    lora_r: int = Field(8, ge=0, description="ours; 0 trains every weight")


class AuxConfidenceSettings(Settings):
    """The model's own hardened answers as a part of the label (Burns et al. 2023, section 4.3 and appendix A.4)."""

    weight: float = Field(0.5, gt=0, le=1, description="paper; 0.75 for its largest students")
    warmup_ratio: float = Field(
        0.2, ge=0, le=1, description="paper; share of the steps over which the weight grows from 0"
    )


class PreferenceModelSettings(_CommonSettings):
    """The pair as an instruction and the label as its answer (SEAM, Li et al. 2025, equation 6).

    The loss is on the answer alone.
    """

    learning_rate: float = Field(1e-4, gt=0, description="SEAM's code")
    batch_size: int = Field(8, ge=1, description="SEAM's code; pairs a step")
    lora_r: int = Field(8, ge=1, description="SEAM's code")
    presentation_order: Literal["drawn", "both"] = Field(
        "drawn",
        description="which response stands first: drawn for each pair (paper), or both in one step (SEAM's code)",
    )
    soft_labels: bool = Field(
        False, description="both answers, each with its label's probability; false: the likelier one alone"
    )
    aux_confidence: AuxConfidenceSettings | None = Field(None, description="null: the labels alone (SEAM)")


TrainingSettings = SftSettings | DpoSettings | RewardModelSettings | PreferenceModelSettings
