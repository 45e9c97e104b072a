"""Supervised fine-tuning on chosen responses, or on instructions from a source of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.config.training import SftSettings
from trimtab.core.component import Component
from trimtab.core.runtime import Runtime
from trimtab.data.instructions import Instruction, InstructionSource
from trimtab.data.split import normalized_prompt_hash
from trimtab.errors import DataError
from trimtab.models.config import Model
from trimtab.models.packing.pair_batch import TokenizedPair, tokenize_pair
from trimtab.models.packing.token_file import create_token_file
from trimtab.models.references import ModelRef
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import as_external_hashes, resolve_model
from trimtab.pipeline.stages.split import as_source
from trimtab.pipeline.stages.training_data import (
    as_label_inputs,
    build_training_runtime,
    estimate_training_work,
    iter_preferences,
    summarize_training,
    trained_split,
)
from trimtab.storage.artifacts import Draft
from trimtab.storage.schemas import load_split_pairs
from trimtab.training.step_count import count_optimizer_steps
from trimtab.types import Pair

if TYPE_CHECKING:
    from trimtab.models.chat import ChatTokenizer
    from trimtab.models.checkpoint import LoadedModel

# The share of a pair's tokens in the prompt and one response, for time estimates.
SFT_TOKEN_FRACTION = 0.7


def sft_stage(name: str, model: Model, split: Stage, labels: Stage | None, settings: SftSettings, seed: int) -> Stage:
    """Fine-tunes on the chosen responses of the labeled pairs, or with `labels` on those of the unlabeled pairs."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        base = resolve_model(model, inputs)
        loaded = base.load(runtime.notify, runtime.device, num_shards=runtime.num_shards)
        rows = create_token_file()
        for preference in iter_preferences(inputs):
            rows.append(tokenize_pair(loaded.chat, preference.prompt, preference.chosen))
        return _train_and_save(draft, name, base, loaded, rows.as_sequence(), settings, seed, runtime)

    return Stage(
        name=name,
        kind="sft",
        role="training",
        training=settings,
        execute=execute,
        settings={"recipe": identity_settings(settings), "seed": seed},
        input_stages={"split": split, **as_label_inputs(labels)},
        external_hashes=as_external_hashes(model),
        work=estimate_training_work("sft", settings, splits=trained_split(labels), token_fraction=SFT_TOKEN_FRACTION),
    )


def instruction_sft_stage(
    name: str, model: Model, source: Component, split: Stage, settings: SftSettings, seed: int, max_length: int
) -> Stage:
    """Fine-tunes on the instructions of a source, without those that are longer than `max_length` tokens by the model's
    tokenizer, or whose prompt is one of the study's test prompts."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        base = resolve_model(model, inputs)
        loaded = base.load(runtime.notify, runtime.device, num_shards=runtime.num_shards)
        dataset = _as_instruction_source(source).load_instructions()
        test_pairs = load_split_pairs(inputs["split"], "test")
        rows, dropped = select_instructions(loaded.chat, dataset.instructions, test_pairs, max_length)
        facts = _train_and_save(draft, name, base, loaded, rows, settings, seed, runtime)
        failures = Counter(failure.kind for failure in dataset.failures)
        return {**facts, "dropped": {**failures, **dropped}}

    limit = getattr(source, "limit", None)
    return Stage(
        name=name,
        kind="sft",
        role="training",
        training=settings,
        execute=execute,
        settings={
            "recipe": identity_settings(settings),
            "seed": seed,
            "source": identity_settings(source),
            "max_length": max_length,
        },
        input_stages={"split": split},
        external_hashes={**as_external_hashes(model), "source": as_source(source).content_hash()},
        work=estimate_training_work(
            "sft", settings, limit=limit if isinstance(limit, int) else None, token_fraction=SFT_TOKEN_FRACTION
        ),
    )


def select_instructions(
    chat: ChatTokenizer, instructions: Sequence[Instruction], test_pairs: Sequence[Pair], max_length: int
) -> tuple[list[TokenizedPair], dict[str, int]]:
    """The tokenized instructions, and how many were dropped for which reason. Raises `DataError` if none is left."""
    test_prompts = {normalized_prompt_hash(pair.prompt) for pair in test_pairs}
    rows, dropped = list[TokenizedPair](), Counter[str]()
    for instruction in instructions:
        row = tokenize_pair(chat, instruction.prompt, instruction.response)
        if normalized_prompt_hash(instruction.prompt) in test_prompts:
            dropped["test_prompt"] += 1
        elif row.max_text_length > max_length:
            dropped["overlong"] += 1
        else:
            rows.append(row)
    if not rows:
        raise DataError(
            f"training.sft_data: none of {len(instructions)} instructions is left: {dropped['test_prompt']} have a prompt of "
            f"the test pairs, and {dropped['overlong']} are longer than {max_length} tokens"
        )
    return rows, dict(dropped)


def _as_instruction_source(source: Component) -> InstructionSource:
    if not isinstance(source, InstructionSource):
        raise DataError(f"{type(source).__name__} is not a source of instructions (it needs `load_instructions`)")
    return source


def _train_and_save(
    draft: Draft,
    name: str,
    base: ModelRef,
    loaded: LoadedModel,
    rows: Sequence[TokenizedPair],
    settings: SftSettings,
    seed: int,
    runtime: Runtime,
) -> dict[str, Any]:
    from trimtab.models.adapters import copy_adapter, merge_adapter
    from trimtab.models.checkpoint import save_full_model
    from trimtab.training.sft import train_sft

    training_runtime = build_training_runtime(name, seed, loaded, runtime)
    with runtime.progress(f"Fine-tuning: {name}", count_optimizer_steps(len(rows), settings), "steps") as tick:
        tuned, log = train_sft(loaded.model, rows, settings, training_runtime, draft.folder, tick)
    if runtime.is_main_process:
        if runtime.num_shards > 1:  # the weights are merged in one process, in main memory
            tuned = merge_adapter(copy_adapter(tuned, base.load(runtime.notify, "cpu").model))
        save_full_model(loaded, tuned, draft.folder, load_in_4bit=base.root_settings.load_in_4bit)
    return summarize_training(log, settings, list(map(len, rows)))
