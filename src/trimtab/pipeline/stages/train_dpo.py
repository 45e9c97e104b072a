"""Direct preference optimization on labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trimtab.config.training import DpoSettings
from trimtab.core.annotator_inputs import ResponseScores
from trimtab.core.runtime import Runtime
from trimtab.models.packing.pair_batch import tokenize_pair
from trimtab.models.packing.token_file import create_token_file
from trimtab.pipeline.stage import Stage, StageInputs, identity_settings
from trimtab.pipeline.stage_models import (
    ModelSource,
    as_external_hashes,
    as_input_stages,
    resolve_model,
)
from trimtab.pipeline.stages.training_data import (
    as_label_inputs,
    build_training_runtime,
    estimate_training_work,
    load_labeled_pairs,
    summarize_training,
    trained_split,
)
from trimtab.storage.artifacts import Draft
from trimtab.storage.disk_sequence import map_values
from trimtab.storage.schemas import load_logprobs
from trimtab.training.step_count import count_optimizer_steps
from trimtab.types import Preference

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.training.trainer import TrainingExample


def dpo_stage(
    name: str,
    model: ModelSource,
    split: Stage,
    labels: Stage | None,
    reference: Stage,
    settings: DpoSettings,
    seed: int,
) -> Stage:
    """Trains on the human labels of the labeled pairs, or with `labels` on the unlabeled pairs.

    `reference` is the table of the reference model's log-probabilities. If `model` is itself the result of such a stage, its
    adapter is trained further, with the same LoRA settings.
    """

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.models.checkpoint import save_adapter
        from trimtab.training.dpo import train_dpo

        start = resolve_model(model, inputs)
        # a student of an earlier round is an adapter, which is trained further
        base = start.parent or start
        loaded = base.load(runtime.notify, runtime.device, num_shards=runtime.num_shards)
        reference_scores = None if settings.reference_free else load_logprobs(inputs["reference"])
        examples = _build_examples(loaded, inputs, reference_scores)
        training_runtime = build_training_runtime(name, seed, loaded, runtime)
        with runtime.progress(f"Aligning: {name}", count_optimizer_steps(len(examples), settings), "steps") as tick:
            policy, log = train_dpo(
                loaded.model, examples, settings, training_runtime, draft.folder, tick, start.adapter_folder
            )
        if runtime.is_main_process:
            save_adapter(policy, base.source, draft.folder)
        return summarize_training(log, settings, [len(example.pair) for example in examples])

    return Stage(
        name=name,
        kind="dpo",
        role="training",
        training=settings,
        execute=execute,
        settings={"recipe": identity_settings(settings), "seed": seed},
        input_stages={
            "split": split,
            **({} if settings.reference_free else {"reference": reference}),
            **as_input_stages(model),
            **as_label_inputs(labels),
        },
        external_hashes=as_external_hashes(model),
        work=estimate_training_work("dpo", settings, splits=trained_split(labels)),
    )


def _build_examples(
    loaded: LoadedModel, inputs: StageInputs, reference: Mapping[str, ResponseScores] | None
) -> Sequence[TrainingExample]:
    """One example per labeled pair, the chosen response first, with the reference's log-probabilities if there are any."""
    from trimtab.training.trainer import SoftLabel, TrainingExample

    tokens, labels = create_token_file(), list[tuple[tuple[float, float], SoftLabel]]()
    for pair, label in load_labeled_pairs(inputs):
        preference = Preference.from_annotation(pair, label)
        if preference is None:
            continue
        tokens.append(tokenize_pair(loaded.chat, preference.prompt, preference.chosen, preference.rejected))
        ordered = (0.0, 0.0)
        if reference is not None:
            scores = reference[pair.id]
            ordered = (scores.a, scores.b) if label.choice == "a" else (scores.b, scores.a)
        labels.append((ordered, SoftLabel(preference.p_chosen, preference.weight)))
    return map_values(range(len(labels)), lambda position: TrainingExample(tokens.read(position), *labels[position]))
