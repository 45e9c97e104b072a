"""A local model, asked through vLLM: for graphics cards, and for models that several of them share."""

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
from trimtab.models.config import Dtype, Model
from trimtab.models.config import compute_model_hash as weights_identity

# What a user sets stands: vLLM's log belongs to whoever looks for a fault in it, and nothing is told to its makers.
DEFAULT_ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
VLLM_REQUIRED = "engines of kind vllm need vLLM 0.32 or newer"


class Vllm(Component):
    """A model by name, folder or hub id, asked through vLLM in this machine's memory; what questions share is read once.

    The same tokens are asked, and the same answers come, as with the engine `transformers`, but for rounding, and but for
    draws: above temperature 0 these come from the seed and the question too, and are others.

    `dtype: auto` is bfloat16 where it is fast, else float32; log-probabilities are always taken in float32.
    `max_model_len` is the most tokens that a question may have with its answer, by default what the model was made for:
    less leaves more memory for many questions at a time. `gpu_memory_utilization` is the share of the card's memory that
    is taken at once and kept, weights included; of the machine's, where vLLM was built for processors. In a study the
    models that it trains need theirs beside it. `tensor_parallel_size` is how many cards share the model. `extra` goes to
    `vllm.LLM` as it is: `{enforce_eager: true}` starts sooner and answers more slowly.
    """

    # 2: a question that leaves no room for its whole answer fails, as with `transformers`
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
                f"{model} is a model of a study, which is asked through transformers: write {model!r} alone"
            )
        return model

    @field_validator("engine_args")
    @classmethod
    def _reject_duplicate_settings(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if twice := sorted(set(extra) & set(cls.model_fields)):
            raise ValueError(f"{', '.join(twice)} is a setting of its own: put it beside extra, not into it")
        return extra

    def preflight(self, runtime: Runtime) -> None:
        """Raises `EngineError` where vLLM is missing; whether it can hold the model is seen when it starts."""
        del runtime
        if importlib.util.find_spec("vllm") is None:
            raise EngineError(f"{VLLM_REQUIRED}: in Trimtab's folder, pip install '.[vllm]'")

    def start(self, runtime: Runtime) -> Engine:
        """Raises `EngineError` where vLLM is missing, or cannot hold the model with these settings."""
        for name, value in DEFAULT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import vllm  # noqa: F401, PLC0415 - takes seconds, and is an extra
        except ImportError as error:
            raise EngineError(f"{VLLM_REQUIRED} ({error}): in Trimtab's folder, pip install '.[vllm]'") from error
        from trimtab.engines.vllm.engine import open_vllm_engine  # noqa: PLC0415 - loads vllm

        return open_vllm_engine(self._to_model(), self._options(), runtime.notify)

    def content_hash(self) -> str:
        return weights_identity(self._to_model()) or self.model

    def _to_model(self) -> Model:
        return Model(base=self.model, dtype=self.dtype)

    def _options(self) -> Mapping[str, Any]:
        return {
            "max_model_len": self.max_model_len,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "tensor_parallel_size": self.tensor_parallel_size,
            **self.engine_args,
        }
