"""What training is told. Every default states its source: "paper" is Tao & Li (2025), tables 7 and 8; "ours" is what the
paper leaves out or lost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trimtab.components import Component


class _Common(Component):
    """What every kind of training has."""

    epochs: float = Field(1.0, gt=0, description="paper")
    lora_alpha: int | None = Field(None, ge=1, description="ours: twice the rank where not given")
    schedule: Literal["linear", "cosine", "constant"] = Field("cosine", description="ours")
    warmup: float = Field(0.1, ge=0, lt=1, description="ours; share of the steps")
    weight_decay: float = Field(0.0, ge=0, description="ours")
    max_grad_norm: float = Field(1.0, gt=0, description="ours")


class Sft(_Common):
    """Supervised fine-tuning on one response a prompt; the loss is on the response alone (ours; the paper does not say)."""

    learning_rate: float = Field(2e-5, gt=0, description="ours: the paper's figure is lost")
    batch_size: int = Field(32, ge=1, description="paper; sequences a step")
    lora_rank: int = Field(0, ge=0, description="paper; 0 trains every weight")


class Dpo(_Common):
    """Direct preference optimization with LoRA; the reference is the model with the adapter switched off."""

    beta: float = Field(0.1, gt=0, description="paper, HH-RLHF; 0.5 for TL;DR")
    learning_rate: float = Field(1e-4, gt=0, description="ours: the paper's figure is lost; for LoRA of rank 8")
    batch_size: int = Field(16, ge=1, description="paper; pairs a step")
    lora_rank: int = Field(8, ge=1, description="paper")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="paper uses none; above 0 is conservative DPO")


class Reward(_Common):
    """A Bradley-Terry reward model: LoRA and a linear head on the last token of each response. All defaults are ours."""

    learning_rate: float = Field(3e-4, gt=0, description="ours")
    batch_size: int = Field(16, ge=1, description="ours; pairs a step")
    lora_rank: int = Field(8, ge=1, description="ours")


class Preference(_Common):
    """The pair as an instruction and the label as its answer (SEAM, Li et al. 2025, equation 6).

    The loss is on the answer alone; which response stands first is drawn for each pair.
    """

    learning_rate: float = Field(1e-4, gt=0, description="SEAM's code")
    batch_size: int = Field(8, ge=1, description="SEAM's code; pairs a step")
    lora_rank: int = Field(8, ge=1, description="SEAM's code")
    soft: bool = Field(
        False, description="both answers, each with its label's probability; false: the likelier one alone"
    )


Recipe = Sft | Dpo | Reward | Preference
