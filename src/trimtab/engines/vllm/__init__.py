"""The `vllm` engine: a local model run by vLLM, for GPUs and for models that several GPUs share."""

from __future__ import annotations

import importlib.util
import os
from typing import ClassVar

from pydantic import Field, field_validator

from trimtab.core.component import Component
from trimtab.core.interfaces import Engine
from trimtab.core.runtime import Runtime
from trimtab.errors import EngineError
from trimtab.models.config import Dtype, Model, compute_model_hash
from trimtab.models.inference.vllm_options import VllmOptions

# Defaults of environment variables: values that the user has set stay. Reduces vLLM's logging and disables its telemetry. A
# forked process of vLLM would hang if torch has used several threads in this one.
DEFAULT_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
VLLM_REQUIRED = "engines of kind vllm require vLLM 0.32 or newer"


class Vllm(VllmOptions, Component):
    """A model by short name, folder or hub id, run by vLLM on this machine. Shared prefixes are computed once.

    Requests have the same tokens as with the engine `transformers`, and results agree up to rounding. Samples above
    temperature 0 also depend only on the seed and the request, but differ from those of `transformers`.

    `dtype: auto` is bfloat16 if the hardware supports it well, else float32; log-probabilities are always computed in float32.
    In a study, the models to be trained need their memory in addition to `gpu_memory_utilization`.
    """

    # 2: a request that leaves no room for its whole response fails, as with `transformers`
    VERSION: ClassVar[int] = 2

    model: str = Field(min_length=1)
    dtype: Dtype = "auto"

    @field_validator("model")
    @classmethod
    def _reject_study_models(cls, model: str) -> str:
        if model.startswith("@"):
            raise ValueError(
                f"{model} is a model of a study, which only the engine transformers runs: write {model!r} instead"
            )
        return model

    def preflight(self, runtime: Runtime) -> None:
        """Raises `EngineError` if vLLM is not installed. Whether it can load the model shows only in `start`."""
        del runtime
        require_vllm()

    def start(self, runtime: Runtime) -> Engine:
        """Loads the model. Raises `EngineError` if vLLM is not installed or cannot load the model with these settings.

        Nor does it start in processes of `torchrun` other than the main one.
        """
        import_vllm(runtime)
        from trimtab.engines.vllm.engine import open_vllm_engine  # noqa: PLC0415 - loads vllm

        return open_vllm_engine(self._to_model(), self.to_arguments(), runtime.notify)

    def content_hash(self) -> str:
        return compute_model_hash(self._to_model()) or self.model

    def _to_model(self) -> Model:
        return Model(base=self.model, dtype=self.dtype)


def require_vllm() -> None:
    """Raises `EngineError` if vLLM is not installed."""
    if importlib.util.find_spec("vllm") is None:
        raise EngineError(f"{VLLM_REQUIRED}: in Trimtab's folder, run pip install '.[vllm]'")


def import_vllm(runtime: Runtime) -> None:
    """Imports vLLM, which takes seconds. Raises `EngineError` if it cannot, or if this process must not start an engine."""
    if not runtime.is_main_process:
        raise EngineError("vLLM would use the GPU of another process; only the main process of torchrun can start it")
    for name, value in DEFAULT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import vllm  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise EngineError(f"{VLLM_REQUIRED} ({error}): in Trimtab's folder, run pip install '.[vllm]'") from error
