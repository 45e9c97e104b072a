"""Checks for `--trainer KEY=VALUE`: only arguments that cannot change what a model learns are passed to
`transformers.TrainingArguments`, because they are not part of a fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trimtab.errors import StudyError

SPEED = (
    "dataloader_num_workers",
    "dataloader_persistent_workers",
    "dataloader_pin_memory",
    "dataloader_prefetch_factor",
    "ddp_backend",
    "ddp_broadcast_buffers",
    "ddp_bucket_cap_mb",
    "ddp_find_unused_parameters",
    "ddp_static_graph",
    "ddp_timeout",
    "torch_empty_cache_steps",
    "use_cpu",
)
LOGGING = (
    "log_level",
    "log_level_replica",
    "log_on_each_node",
    "logging_first_step",
    "logging_steps",
    "project",
    "report_to",
    "run_name",
    "skip_memory_metrics",
    "trackio_bucket_id",
    "trackio_space_id",
    "trackio_static_space_id",
)
CHECKPOINTS = ("save_on_each_node", "save_steps", "save_strategy", "save_total_limit")
ALLOWED = (*SPEED, *LOGGING, *CHECKPOINTS)

_STUDY_SETTINGS = (
    *(
        "learning_rate",
        "lr_scheduler_type",
        "max_grad_norm",
        "max_steps",
        "num_train_epochs",
        "seed",
        "warmup_steps",
        "weight_decay",
    ),
    *("gradient_accumulation_steps", "output_dir", "per_device_train_batch_size"),
    *("gradient_checkpointing", "gradient_checkpointing_kwargs"),
)
_OPTIMIZATION = (
    *("adam_beta1", "adam_beta2", "adam_epsilon", "average_tokens_across_devices", "data_seed", "dataloader_drop_last"),
    *("dataloader_in_order", "label_smoothing_factor", "lr_scheduler_kwargs", "neftune_noise_alpha"),
    *("optim", "optim_args", "optim_target_modules", "train_sampling_strategy", "auto_find_batch_size"),
)
_SHARDING = ("accelerator_config", "deepspeed", "fsdp", "fsdp_config", "parallelism_config")
_PRECISION = (
    *("bf16", "bf16_full_eval", "fp16", "fp16_full_eval", "liger_kernel_config", "tf32", "torch_compile"),
    *("torch_compile_backend", "torch_compile_mode", "use_liger_kernel"),
)
_RESUMING = ("ignore_data_skip", "load_best_model_at_end", "resume_from_checkpoint", "save_only_model")

_REFUSALS: Mapping[str, str] = {
    **dict.fromkeys(_STUDY_SETTINGS, "it is set by the study or by Trimtab; change the study instead"),
    **dict.fromkeys(_OPTIMIZATION, "it changes what the model learns, and it is not part of the fingerprint"),
    **dict.fromkeys(
        _SHARDING, "use --shard; Trimtab shards models itself, and DeepSpeed saves empty adapters (ZeRO-3)"
    ),
    **dict.fromkeys(
        _PRECISION, "it changes the numerical precision of training, and it is not part of the fingerprint"
    ),
    **dict.fromkeys(
        _RESUMING, "Trimtab resumes and saves training itself, and this could change what the model learns"
    ),
}
_NOT_ALLOWED = "not an argument that only affects speed, logging or checkpoints"


def validate_trainer_arguments(names: Iterable[str]) -> None:
    """Raises `StudyError` for the first name, in alphabetical order, that is not in `ALLOWED`, with the reason."""
    refused = sorted(set(names) - set(ALLOWED))
    if refused:
        reason = _REFUSALS.get(refused[0], _NOT_ALLOWED)
        raise StudyError(f"--trainer {refused[0]}: {reason} (allowed: {', '.join(sorted(ALLOWED))})")
