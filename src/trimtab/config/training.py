"""Training settings. A description starts with the source of the default: `paper`, `released code` or `our default`.

Settings that also exist in TRL, transformers or peft have the same names as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from trimtab.core.component import Component, Settings

LossType = Literal["sigmoid", "robust", "ipo", "hinge", "simpo", "length_regularized", "dr_dpo"]
PER_PAIR: Literal["per_pair"] = "per_pair"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossInfo:
    """A DPO loss: its description, and the settings it uses besides `beta`, `label_mode` and the shared training settings."""

    description: str
    used_settings: tuple[str, ...] = ()


LOSSES: Mapping[LossType, LossInfo] = {
    "sigmoid": LossInfo(
        description="The original DPO loss (Rafailov et al. 2023); conservative DPO if label_smoothing is above 0.",
        used_settings=("label_smoothing",),
    ),
    "robust": LossInfo(
        description="Robust DPO: unbiased if a fraction label_smoothing of the labels, above 0 or per_pair, is flipped "
        "(Chowdhury et al. 2024).",
        used_settings=("label_smoothing",),
    ),
    "ipo": LossInfo(description="Regresses the margin per token to 1 / (2 beta) nats (Azar et al. 2024)."),
    "hinge": LossInfo(description="Zero if the margin is above 1 / beta nats (Zhao et al. 2023; Liu et al. 2024)."),
    "simpo": LossInfo(
        description="SimPO: compares the mean log-probability per token to a margin simpo_gamma, without a reference "
        "(Meng et al. 2024).",
        used_settings=("simpo_gamma",),
    ),
    "length_regularized": LossInfo(
        description="DPO with a reward penalty of length_penalty per token (Park et al. 2024).",
        used_settings=("length_penalty",),
    ),
    "dr_dpo": LossInfo(
        description="Dr. DPO: gives less weight to pairs whose label is unlikely under the policy (Wu et al. 2025).",
        used_settings=("dr_dpo_beta",),
    ),
}


def _parse_label_smoothing(value: Any) -> float | Literal["per_pair"]:
    if value == PER_PAIR:
        return PER_PAIR
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 0.5:
        return float(value)
    raise ValueError(f"must be a number of at least 0 and below 0.5, or {PER_PAIR}, got {value!r}")


LabelSmoothing = Annotated[
    float | Literal["per_pair"],
    PlainValidator(
        _parse_label_smoothing, json_schema_input_type=Annotated[float, Field(ge=0, lt=0.5)] | Literal["per_pair"]
    ),
]


Schedule = Literal["linear", "cosine", "constant"]


def _epochs_field(source: str) -> Any:
    return Field(1.0, gt=0, le=1000, description=source)


def _max_steps_field(source: str) -> Any:
    description = (
        f"{source}, null: as many steps as num_train_epochs takes; otherwise exactly this number of steps, which repeat the "
        "data as often as necessary"
    )
    return Field(None, ge=1, le=2**31, description=description)


def _target_modules_field(source: str) -> Any:
    description = f"{source}, null: every linear layer except the output head"
    return Field(None, min_length=1, description=description)


class _CommonSettings(Component):
    """Settings that all kinds of training share. The sources of the defaults are those of SFT and DPO.

    `gradient_checkpointing` is here, where TRL has it, and is no option of the command line, since it concerns one training.
    It is not part of a fingerprint: the trained weights are the same, so a training that ran out of memory resumes with it.
    """

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"gradient_checkpointing"})

    num_train_epochs: float = _epochs_field("paper")
    max_steps: int | None = _max_steps_field("paper")
    lora_r: int = Field(8, ge=0, le=2**12, description="our default")
    lora_alpha: int | None = Field(None, ge=1, le=2**16, description="our default, null: twice lora_r")
    lora_target_modules: tuple[str, ...] | None = _target_modules_field("our default")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="our default: policy and reference differ by weights only")
    lr_scheduler_type: Schedule = Field("cosine", description="our default")
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="our default; fraction of the training steps")
    weight_decay: float = Field(0.0, ge=0, description="our default")
    max_grad_norm: float = Field(1.0, gt=0, description="our default")
    gradient_checkpointing: bool = Field(
        False,
        description="our default; true stores only the input of each layer for the backward pass, and computes the rest again: "
        "less memory, more time, the same weights",
    )

    @model_validator(mode="after")
    def _require_one_duration(self) -> Self:
        if self.max_steps is not None and "num_train_epochs" in self.model_fields_set:
            raise ValueError(
                f"max_steps: num_train_epochs ({self.num_train_epochs:g}) and max_steps ({self.max_steps}) both set the "
                "duration of the training; remove one of them"
            )
        return self

    @model_validator(mode="after")
    def _reject_unused_lora_settings(self) -> Self:
        for name in ("lora_alpha", "lora_target_modules", "lora_dropout"):
            if self.lora_r == 0 and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: unused, since lora_r: 0 trains all weights; set lora_r")
        return self


class SftSettings(_CommonSettings):
    """Supervised fine-tuning on one response per prompt. The loss covers response tokens only (our default)."""

    learning_rate: float = Field(
        2e-5, gt=0, le=10, description="our default: the value is missing from tables 7 and 8 of the paper"
    )
    batch_size: int = Field(32, ge=1, le=2**16, description="paper; sequences per step")
    lora_r: int = Field(0, ge=0, le=2**12, description="paper; 0 trains all weights")


class DpoSettings(_CommonSettings):
    """Direct preference optimization with LoRA. The reference is the same model with the adapter disabled."""

    beta: float = Field(
        0.1,
        gt=0,
        description="paper, table 7; table 8 has 0.5 (we read them as HH-RLHF and TL;DR, their captions are lost)",
    )
    learning_rate: float = Field(
        1e-4,
        gt=0,
        le=10,
        description="our default for LoRA of rank 8: the value is missing from tables 7 and 8 of the paper",
    )
    batch_size: int = Field(16, ge=1, le=2**16, description="paper; pairs per step")
    lora_r: int = Field(8, ge=1, le=2**12, description="paper")
    loss_type: LossType = Field("sigmoid", description="paper, equation 3")
    label_mode: Literal["hard", "soft", "weighted"] = Field(
        "hard",
        description="paper, hard: train on the likelier response, whatever the label's probability p; soft: weight the loss in "
        "both directions by p and 1 - p; weighted: weight the pair by 2p - 1 (CW-PO)",
    )
    normalize_weights: bool = Field(
        False,
        description="paper (CW-PO, Afzali et al. 2026), for label_mode weighted: false divides the weighted losses of a step "
        "by its number of pairs, so that low weights also shrink the step; true divides by the sum of its weights",
    )
    label_smoothing: LabelSmoothing = Field(
        0.0,
        description="paper; for sigmoid and robust: the assumed fraction of wrong labels, or per_pair for 1 - p of each pair",
    )
    simpo_gamma: float = Field(
        0.5,
        ge=0,
        description="our default, as in TRL; for simpo: the target margin; Meng et al. (2024): 0.3 to 1.6 with beta 2 to 2.5",
    )
    length_penalty: float = Field(0.01, gt=0, description="our default; for length_regularized: nats per token")
    dr_dpo_beta: float = Field(
        1.0,
        gt=0,
        description="released code of Wu et al. (2025); for dr_dpo: smaller values downweight unlikely labels more",
    )

    @property
    def reference_free(self) -> bool:
        """Whether the loss needs no reference model."""
        return self.loss_type == "simpo"

    @model_validator(mode="after")
    def _reject_unused_settings(self) -> Self:
        for name in sorted({setting for info in LOSSES.values() for setting in info.used_settings}):
            changed = getattr(self, name) != type(self).model_fields[name].default
            if changed and name not in LOSSES[self.loss_type].used_settings:
                users = [loss_type for loss_type, info in LOSSES.items() if name in info.used_settings]
                raise ValueError(f"{name}: not used by loss_type {self.loss_type}, only by {' and '.join(users)}")
        return self

    @model_validator(mode="after")
    def _check_normalize_weights(self) -> Self:
        if self.normalize_weights and self.label_mode != "weighted":
            raise ValueError(f"normalize_weights: not used by label_mode {self.label_mode}, only by weighted")
        if self.normalize_weights and self.loss_type == "dr_dpo":
            raise ValueError(
                "normalize_weights: loss_type dr_dpo divides by the sum of the weights anyway; remove this setting"
            )
        return self

    @model_validator(mode="after")
    def _check_label_smoothing(self) -> Self:
        if self.loss_type == "robust" and self.label_smoothing == 0.0:
            raise ValueError(
                "label_smoothing: loss_type robust needs a value above 0, or per_pair; 0 is the same as loss_type sigmoid"
            )
        if self.loss_type == "robust" and self.label_mode == "soft":
            raise ValueError(
                "label_mode: loss_type robust already accounts for label noise; use hard or weighted, not soft"
            )
        if self.loss_type == "sigmoid" and self.label_smoothing == PER_PAIR:
            raise ValueError(
                "label_smoothing: per_pair is for loss_type robust; for loss_type sigmoid use label_mode: soft"
            )
        if self.label_mode == "soft" and self.label_smoothing != 0.0:
            raise ValueError(
                "label_smoothing: label_mode: soft already uses each pair's probability; remove this setting"
            )
        return self


class RewardModelSettings(_CommonSettings):
    """A Bradley-Terry reward model: LoRA and a linear head on the last token of each response."""

    num_train_epochs: float = _epochs_field("our default")
    max_steps: int | None = _max_steps_field("our default")
    learning_rate: float = Field(3e-4, gt=0, le=10, description="our default")
    batch_size: int = Field(16, ge=1, le=2**16, description="our default; pairs per step")
    lora_r: int = Field(8, ge=0, le=2**12, description="our default; 0 trains all weights")


class AuxConfidenceSettings(Settings):
    """Auxiliary confidence loss: mixes the model's own hardened predictions into the labels (Burns et al. 2023, section
    4.3 and appendix A.4)."""

    weight: float = Field(0.5, gt=0, le=1, description="paper (Burns et al. 2023); 0.75 for their largest students")
    warmup_ratio: float = Field(
        0.2,
        ge=0,
        le=1,
        description="paper (Burns et al. 2023); fraction of the steps over which the weight grows from 0",
    )


class PreferenceModelSettings(_CommonSettings):
    """A model fine-tuned to name the preferred response: the pair is the instruction, the label is the answer (SEAM, Li et
    al. 2025, equation 6). The loss covers the answer tokens only."""

    num_train_epochs: float = _epochs_field("our default (released code: max_steps)")
    max_steps: int | None = _max_steps_field("our default (released code: 1,000)")
    lora_alpha: int | None = Field(None, ge=1, le=2**16, description="released code, null: twice lora_r")
    lora_target_modules: tuple[str, ...] | None = _target_modules_field("our default (released code: q_proj, v_proj)")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="our default (released code: 0.05)")
    lr_scheduler_type: Schedule = Field("cosine", description="released code")
    warmup_ratio: float = Field(
        0.1, ge=0, lt=1, description="released code (100 of 1,000 steps); fraction of the steps"
    )
    weight_decay: float = Field(0.0, ge=0, description="our default (released code: 0.05)")
    learning_rate: float = Field(1e-4, gt=0, le=10, description="released code")
    batch_size: int = Field(8, ge=1, le=2**16, description="released code (4 × 2 accumulation steps); pairs per step")
    lora_r: int = Field(8, ge=1, le=2**12, description="released code")
    presentation_order: Literal["random", "both"] = Field(
        "random",
        description="paper, random: which response is presented first is sampled once per pair; both (released code): both "
        "orders, here in the same step",
    )
    soft_labels: bool = Field(
        False,
        description="paper, false: train on the likelier answer; true: train on both answers, weighted by their probabilities",
    )
    aux_confidence: AuxConfidenceSettings | None = Field(
        None, description="paper, null: labels only; auxiliary confidence loss"
    )


TrainingSettings = SftSettings | DpoSettings | RewardModelSettings | PreferenceModelSettings
