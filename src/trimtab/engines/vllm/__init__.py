"""The `vllm` engine: a local model run by vLLM, for GPUs and for models that several GPUs share."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from trimtab.core.component import Component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.errors import EngineError
from trimtab.models.config import Dtype, Model, compute_model_hash

# Defaults of environment variables: values that the user has set stay. Reduces vLLM's logging and disables its telemetry.
DEFAULT_ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
VLLM_REQUIRED = "engines of kind vllm require vLLM 0.32 or newer"


class Vllm(Component):
    """A model by short name, folder or hub id, run by vLLM on this machine. Shared prefixes are computed once.

    Requests have the same tokens as with the engine `transformers`, and results agree up to rounding. Samples above
    temperature 0 also depend only on the seed and the request, but differ from those of `transformers`.

    `dtype: auto` is bfloat16 if the hardware supports it well, else float32; log-probabilities are always computed in float32.
    `max_model_len` is the maximum number of tokens of a prompt with its response, by default the model's own; a smaller value
    leaves more memory for concurrent requests. `gpu_memory_utilization` is the fraction of GPU memory that vLLM reserves,
    weights included (of main memory, if vLLM was built for CPUs). In a study, the models to be trained need their memory in
    addition. `tensor_parallel_size` is the number of GPUs that share the model. `engine_args` are passed to `vllm.LLM`:
    `{enforce_eager: true}` starts sooner but runs more slowly.
    """

    # 2: a request that leaves no room for its whole response fails, as with `transformers`
    VERSION: ClassVar[int] = 2

    FINGERPRINT_EXCLUDED: ClassVar[frozenset[str]] = frozenset(
        {"max_model_len", "gpu_memory_utilization", "tensor_parallel_size"}
    )

    model: str = Field(min_length=1)
    dtype: Dtype = "auto"
    max_model_len: int | None = Field(None, ge=1)
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    tensor_parallel_size: int = Field(1, ge=1)
    engine_args: dict[str, Any] = Field(default_factory=dict)

    @field_validator("model")
    @classmethod
    def _reject_study_models(cls, model: str) -> str:
        if model.startswith("@"):
            raise ValueError(
                f"{model} is a model of a study, which only the engine transformers runs: write {model!r} instead"
            )
        return model

    @field_validator("engine_args")
    @classmethod
    def _reject_duplicate_settings(cls, engine_args: dict[str, Any]) -> dict[str, Any]:
        if duplicates := sorted(set(engine_args) & set(cls.model_fields)):
            raise ValueError(f"{', '.join(duplicates)}: set this next to engine_args, not inside it")
        return engine_args

    def preflight(self, runtime: Runtime) -> None:
        """Raises `EngineError` if vLLM is not installed. Whether it can load the model shows only in `start`."""
        del runtime
        if importlib.util.find_spec("vllm") is None:
            raise EngineError(f"{VLLM_REQUIRED}: in Trimtab's folder, run pip install '.[vllm]'")

    def start(self, runtime: Runtime) -> Engine:
        """Loads the model. Raises `EngineError` if vLLM is not installed or cannot load the model with these settings.

        Nor does it start in processes of `torchrun` other than the main one.
        """
        if not runtime.is_main_process:
            raise EngineError(
                "vLLM would use the GPU of another process; only the main process of torchrun can start it"
            )
        for name, value in DEFAULT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import vllm  # noqa: F401, PLC0415 - takes seconds, and is an extra
        except ImportError as error:
            raise EngineError(f"{VLLM_REQUIRED} ({error}): in Trimtab's folder, run pip install '.[vllm]'") from error
        from trimtab.engines.vllm.engine import open_vllm_engine  # noqa: PLC0415 - loads vllm

        return open_vllm_engine(self._to_model(), self._options(), runtime.notify)

    def content_hash(self) -> str:
        return compute_model_hash(self._to_model()) or self.model

    def _to_model(self) -> Model:
        return Model(base=self.model, dtype=self.dtype)

    def _options(self) -> Mapping[str, Any]:
        return {
            "max_model_len": self.max_model_len,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "tensor_parallel_size": self.tensor_parallel_size,
            **self.engine_args,
        }
