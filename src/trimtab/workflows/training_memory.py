"""Which trainings of a study fit into the memory of a device, and which settings would make the others fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from trimtab.config.study import Study
from trimtab.config.training import TrainingSettings
from trimtab.core.runtime import Runtime
from trimtab.models.config import Model
from trimtab.models.model_shape import BYTES_PER_VALUE, ModelShape, read_model_shape
from trimtab.models.references import ModelRef
from trimtab.pipeline.dry_run import PlannedStage
from trimtab.pipeline.plan import required_models
from trimtab.training.memory_estimate import TrainingHardware, TrainingMemory, estimate_training_memory
from trimtab.workflows.doctor.findings import format_bytes
from trimtab.workflows.doctor.machine import find_free_device_memory

_SUGGESTED_RANK = 8
_SHARD_COUNTS = (2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    """A training with changed settings; no `changes` for the training as it is."""

    settings: TrainingSettings
    load_in_4bit: bool
    hardware: TrainingHardware
    changes: tuple[str, ...] = ()

    def describe(self, total: int) -> str:
        devices = f" on {self.hardware.num_shards} devices of this size" if "--shard" in self.changes else ""
        return f"{', '.join(self.changes)}{devices} (about {format_bytes(total)})"


def describe_training_memory(study: Study, stages: Iterable[PlannedStage], runtime: Runtime) -> dict[str, str]:
    """By the names of stages with the same training: the memory it needs, what is free, and remedies if that is too little.

    Leaves out models that are not on this disk. Empty if the system does not say what is free.
    """
    free = find_free_device_memory(runtime.device)
    names: dict[tuple[str, TrainingSettings], list[str]] = {}
    for stage in stages:
        if stage.training is not None:
            names.setdefault((stage.model_hash, stage.training), []).append(stage.stage)
    if free is None or not names:
        return {}
    models = {ModelRef(model).content_hash: model for model in required_models(study)}
    shapes = {key: read_model_shape(models[key]) for key in {key for key, _ in names} & models.keys()}
    return {
        ", ".join(group): _describe(shape, models[key], settings, study.max_length, runtime, free)
        for (key, settings), group in names.items()
        if (shape := shapes.get(key)) is not None
    }


def _describe(
    shape: ModelShape, model: Model, settings: TrainingSettings, max_length: int, runtime: Runtime, free: int
) -> str:
    from trimtab.models.loading import resolve_dtype_name  # noqa: PLC0415

    hardware = TrainingHardware(
        value_bytes=BYTES_PER_VALUE[resolve_dtype_name(model, runtime.device)],
        token_budget=runtime.token_budget,
        on_gpu=runtime.device != "cpu",
        num_shards=runtime.num_shards,
    )
    start = _Variant(settings=settings, load_in_4bit=model.load_in_4bit, hardware=hardware)

    def estimate(variant: _Variant) -> TrainingMemory:
        return estimate_training_memory(
            shape, variant.settings, max_length, variant.hardware, load_in_4bit=variant.load_in_4bit
        )

    memory = estimate(start)
    if memory.total <= free:
        return f"about {format_bytes(memory.total)}, and {runtime.device} has {format_bytes(free)} free"
    remedies: dict[tuple[str, ...], str] = {}
    for variant in _iter_remedies(start, model):
        total = estimate(variant).total
        if total <= free and not any(set(variant.changes) >= set(changes) for changes in remedies):
            remedies[variant.changes] = variant.describe(total)
    remedy = f"this would fit: {'; or '.join(remedies.values())}" if remedies else "use a smaller model"
    return (
        f"about {format_bytes(memory.total)} (weights {format_bytes(memory.frozen)}, their training "
        f"{format_bytes(memory.trained)}, activations {format_bytes(memory.activations)}, logits "
        f"{format_bytes(memory.logits)}), but {runtime.device} has only {format_bytes(free)} free; {remedy}"
    )


def _iter_remedies(start: _Variant, model: Model) -> Iterator[_Variant]:
    """Changes that save memory, the simplest first."""
    checkpointing = "gradient_checkpointing: true"
    settings, adapter = start.settings, tuple[str, ...]()
    yield replace(start, hardware=replace(start.hardware, token_budget=1), changes=("a smaller --token-budget",))
    yield replace(
        start, settings=settings.model_copy(update={"gradient_checkpointing": True}), changes=(checkpointing,)
    )
    if settings.lora_r == 0:
        settings, adapter = settings.model_copy(update={"lora_r": _SUGGESTED_RANK}), (f"lora_r: {_SUGGESTED_RANK}",)
        yield replace(start, settings=settings, changes=adapter)
    checkpointed = settings.model_copy(update={"gradient_checkpointing": True})
    yield replace(start, settings=checkpointed, changes=(*adapter, checkpointing))
    quantized = (*adapter, "load_in_4bit: true for the model")
    yield replace(start, settings=settings, load_in_4bit=True, changes=quantized)
    yield replace(start, settings=checkpointed, load_in_4bit=True, changes=(*quantized, checkpointing))
    if model.layers is not None or model.load_in_4bit:
        return
    for count in _SHARD_COUNTS:
        hardware = replace(start.hardware, num_shards=count)
        yield replace(start, settings=checkpointed, hardware=hardware, changes=(*adapter, checkpointing, "--shard"))
