"""Runs a model of a study in vLLM: its weights as one complete model, in a process that ends with the stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trimtab.core.memory import free_memory
from trimtab.core.runtime import Runtime
from trimtab.engines.vllm import import_vllm
from trimtab.models.inference.vllm_options import VllmOptions
from trimtab.models.references import ModelRef
from trimtab.storage.temporary_folders import create_temporary_folder

if TYPE_CHECKING:
    from trimtab.engines.vllm.engine import VllmEngine

FOLDER_PREFIX = "trimtab-vllm-"


@contextmanager
def open_vllm_student(model: ModelRef, options: VllmOptions, runtime: Runtime) -> Iterator[VllmEngine]:
    """The model in vLLM, with the weights and the tokenizer that it has in this process.

    An adapter is merged as for generation in this process: vLLM would round base and adapter separately. 4-bit weights are
    dequantized. The merged weights are in a temporary folder while the engine is open; those of killed processes are deleted.
    Raises `EngineError` if vLLM is missing or cannot load the model.
    """
    import_vllm(runtime)
    from trimtab.engines.vllm.engine import load_in_vllm  # noqa: PLC0415 - loads vllm
    from trimtab.models.checkpoint import restore_full_weights, save_full_model  # noqa: PLC0415 - loads torch

    with create_temporary_folder(FOLDER_PREFIX) as folder:
        loaded = model.load(runtime.notify, runtime.device, merge=True)
        chat, dtype = loaded.chat, str(loaded.model.dtype).removeprefix("torch.")
        save_full_model(loaded, restore_full_weights(loaded.model), folder)
        del loaded
        free_memory()  # vLLM needs the memory
        engine = load_in_vllm(folder / "model", model.name, dtype, chat, options.to_arguments())
        try:
            yield engine
        finally:
            engine.close()
