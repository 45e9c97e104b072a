"""Only trainer arguments that cannot change what a model learns are accepted."""

from __future__ import annotations

import dataclasses

import pytest
from transformers import TrainingArguments

from trimtab.config.trainer_arguments import ALLOWED, validate_trainer_arguments
from trimtab.errors import StudyError


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("learning_rate", "it is set by the study or by Trimtab"),
        ("optim", "it changes what the model learns, and it is not part of the fingerprint"),
        ("max_steps", "it is set by the study"),
        ("adam_beta2", "it changes what the model learns"),
        ("neftune_noise_alpha", "it changes what the model learns"),
        ("fsdp", "use --shard"),
        ("deepspeed", "use --shard"),
        ("bf16", "it changes the numerical precision of training"),
        ("gradient_checkpointing", "it is set by the study or by Trimtab"),
        ("save_only_model", "Trimtab resumes and saves training itself"),
        ("no_such_argument", "not an argument that only affects speed, logging or checkpoints"),
    ],
)
def test_trainer_arguments_that_may_change_the_result_are_rejected_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(StudyError, match=rf"^--trainer {name}: {reason}.* \(allowed: .*save_steps.*\)$"):
        validate_trainer_arguments([name, "save_steps"])


def test_arguments_that_only_affect_speed_logging_or_checkpoints_are_accepted() -> None:
    validate_trainer_arguments(["dataloader_num_workers", "report_to", "save_steps", "use_cpu"])


def test_every_argument_of_transformers_is_either_allowed_or_rejected() -> None:
    names = {field.name for field in dataclasses.fields(TrainingArguments)}
    assert set(ALLOWED) < names
    assert not {name for name in names if "fsdp" in name or "optim" in name} & set(ALLOWED)
