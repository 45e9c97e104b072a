"""How vLLM uses the memory and the GPUs of a machine, for any model."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from trimtab.core.component import Settings

# Arguments of `vllm.LLM` that follow from the model.
MODEL_ARGUMENTS = frozenset({"model", "dtype"})


class VllmOptions(Settings):
    """How vLLM runs a model."""

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset(
        {"max_model_len", "gpu_memory_utilization", "tensor_parallel_size"}
    )

    max_model_len: int | None = Field(
        None,
        ge=1,
        description="our default, null: the model's own; the maximum number of tokens of a prompt with its response. A smaller "
        "value leaves more memory for concurrent requests",
    )
    gpu_memory_utilization: float = Field(
        0.9,
        gt=0,
        le=1,
        description="our default, as vLLM's; the fraction of GPU memory that vLLM reserves, weights included (of main memory, "
        "if vLLM was built for CPUs)",
    )
    tensor_parallel_size: int = Field(1, ge=1, description="our default; the number of GPUs that share the model")
    engine_args: dict[str, Any] = Field(
        default_factory=dict,
        description="our default, none; arguments of vllm.LLM. {enforce_eager: true} starts sooner but runs more slowly",
    )

    @field_validator("engine_args")
    @classmethod
    def _reject_duplicate_settings(cls, engine_args: dict[str, Any]) -> dict[str, Any]:
        if duplicates := sorted(set(engine_args) & {*VllmOptions.model_fields, *MODEL_ARGUMENTS}):
            raise ValueError(f"{', '.join(duplicates)}: set this next to engine_args, not inside it")
        return engine_args

    def to_arguments(self) -> dict[str, Any]:
        """The arguments of `vllm.LLM`."""
        return {
            "max_model_len": self.max_model_len,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "tensor_parallel_size": self.tensor_parallel_size,
            **self.engine_args,
        }
