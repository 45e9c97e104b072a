"""Training settings: a setting that the loss does not use is an error, and an omitted one keeps its default."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trimtab.config.training import (
    LOSSES,
    DpoSettings,
    LossType,
    PreferenceModelSettings,
    RewardModelSettings,
    SftSettings,
)
from trimtab.core.component import validate_settings
from trimtab.errors import StudyError
from trimtab.pipeline.stage import identity_settings

# Each setting that only some losses use, with a value other than its default.
NON_DEFAULTS = {"label_smoothing": 0.1, "simpo_gamma": 1.0, "length_penalty": 0.2, "dr_dpo_beta": 0.5}


def minimal_settings(loss: LossType) -> dict[str, Any]:
    return {"loss_type": loss, **({"label_smoothing": 0.2} if loss == "robust" else {})}


def test_every_loss_setting_is_covered_here() -> None:
    assert {name for info in LOSSES.values() for name in info.used_settings} == set(NON_DEFAULTS)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NON_DEFAULTS)
def test_losses_accept_the_settings_they_use_and_reject_the_others(loss: LossType, name: str) -> None:
    settings = {**minimal_settings(loss), name: NON_DEFAULTS[name]}
    if name in LOSSES[loss].used_settings:
        assert getattr(validate_settings(DpoSettings, settings), name) == NON_DEFAULTS[name]
        return
    users = " and ".join(other for other, info in LOSSES.items() if name in info.used_settings)
    line = f"arms.x.dpo.{name}: not used by loss_type {loss}, only by {users}"
    with pytest.raises(StudyError, match=f"^{re.escape(line)}$"):
        validate_settings(DpoSettings, settings, "arms.x.dpo")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"loss_type": "robust"}, "label_smoothing: loss_type robust needs a value above 0, or per_pair"),
        (
            {"loss_type": "robust", "label_smoothing": 0.1, "label_mode": "soft"},
            "label_mode: loss_type robust already accounts for label noise",
        ),
        ({"label_smoothing": "per_pair"}, "label_smoothing: per_pair is for loss_type robust"),
        (
            {"label_mode": "soft", "label_smoothing": 0.1},
            "label_smoothing: label_mode: soft already uses each pair's probability",
        ),
        (
            {"label_smoothing": 0.5},
            "label_smoothing: must be a number of at least 0 and below 0.5, or per_pair, got 0.5",
        ),
        (
            {"label_smoothing": "each"},
            "label_smoothing: must be a number of at least 0 and below 0.5, or per_pair, got 'each'",
        ),
        ({"normalize_weights": True}, "normalize_weights: not used by label_mode hard, only by weighted"),
        (
            {"label_mode": "weighted", "loss_type": "dr_dpo", "normalize_weights": True},
            "normalize_weights: loss_type dr_dpo divides by the sum of the weights anyway",
        ),
        ({"loss_type": "dpo"}, "loss_type: must be 'sigmoid', 'robust', 'ipo'"),
        ({"label_mode": "fuzzy"}, "label_mode: must be 'hard', 'soft' or 'weighted'"),
    ],
)
def test_label_noise_is_specified_once_and_in_range(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError, match=f"^{re.escape(line)}"):
        validate_settings(DpoSettings, settings)


@pytest.mark.parametrize("cls", [SftSettings, RewardModelSettings])
@pytest.mark.parametrize(
    ("name", "value"), [("lora_alpha", 8), ("lora_target_modules", ["q_proj"]), ("lora_dropout", 0.1)]
)
def test_adapter_settings_without_an_adapter_are_errors(cls: type[SftSettings], name: str, value: object) -> None:
    validate_settings(cls, {"lora_r": 4, name: value})
    with pytest.raises(StudyError, match=f"^{name}: unused, since lora_r: 0 trains all weights; set lora_r$"):
        validate_settings(cls, {"lora_r": 0, name: value})


@pytest.mark.parametrize("cls", [SftSettings, DpoSettings, RewardModelSettings, PreferenceModelSettings])
@pytest.mark.parametrize("epochs", [1, 2.5])
def test_steps_and_epochs_cannot_both_set_the_duration(cls: type[DpoSettings], epochs: float) -> None:
    line = (
        f"training.x.max_steps: num_train_epochs ({epochs:g}) and max_steps (9) both set the duration of the training; remove "
        "one of them"
    )
    with pytest.raises(StudyError, match=f"^{re.escape(line)}$"):
        validate_settings(cls, {"max_steps": 9, "num_train_epochs": epochs}, "training.x")


@pytest.mark.parametrize(
    "settings",
    [
        {"max_steps": 9},
        {"loss_type": "robust", "label_smoothing": "per_pair"},
        {"loss_type": "robust", "label_smoothing": 0.1, "label_mode": "weighted"},
        {"label_smoothing": 0.1},
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 1.0},
        {"label_mode": "soft"},
    ],
)
def test_settings_round_trip_through_json(settings: dict[str, Any]) -> None:
    parsed = validate_settings(DpoSettings, settings)
    assert parsed.model_dump(mode="json", exclude_defaults=True) == settings
    assert validate_settings(DpoSettings, parsed.model_dump(mode="json", exclude_unset=True)) == parsed


@pytest.mark.parametrize("cls", [SftSettings, DpoSettings, RewardModelSettings, PreferenceModelSettings])
def test_gradient_checkpointing_does_not_change_the_fingerprint(cls: type[SftSettings]) -> None:
    assert identity_settings(cls(gradient_checkpointing=True)) == identity_settings(cls())


def test_explicit_defaults_do_not_change_the_fingerprint() -> None:
    explicit = validate_settings(
        DpoSettings,
        {"loss_type": "sigmoid", "label_mode": "hard", "label_smoothing": 0, "simpo_gamma": 0.5, "dr_dpo_beta": 1.0},
    )
    assert identity_settings(explicit) == identity_settings(DpoSettings())
    assert identity_settings(validate_settings(PreferenceModelSettings, {"aux_confidence": None})) == identity_settings(
        PreferenceModelSettings()
    )


def test_an_auxiliary_loss_with_default_settings_differs_from_no_auxiliary_loss() -> None:
    settings = validate_settings(PreferenceModelSettings, {"aux_confidence": {}})
    assert identity_settings(settings) != identity_settings(PreferenceModelSettings())
    assert settings == validate_settings(
        PreferenceModelSettings, {"aux_confidence": {"weight": 0.5, "warmup_ratio": 0.2}}
    )


def test_the_auxiliary_loss_weight_must_be_positive() -> None:
    with pytest.raises(StudyError, match=r"^aux_confidence\.weight: must be greater than 0"):
        validate_settings(PreferenceModelSettings, {"aux_confidence": {"weight": 0}})
