"""Trains a model to answer which of two responses is better, on the prompt that annotators will use."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trimtab.config.training import PreferenceModelSettings
from trimtab.core.annotator_inputs import TrainingTask
from trimtab.core.interfaces import PairwisePrompt
from trimtab.core.runtime import Runtime
from trimtab.models.packing.pair_batch import TokenizedPair
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
from trimtab.prompts.comparison import BOTH_ORDERS, choice_at_position
from trimtab.storage.artifacts import Draft
from trimtab.training.step_count import count_optimizer_steps
from trimtab.types import Annotation, Order, Pair

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.training.trainer import TrainingExample

PREFERENCE_MODEL_KIND = "preference_model"


def preference_model_stage(
    name: str,
    model: ModelSource,
    split: Stage,
    labels: Stage | None,
    settings: PreferenceModelSettings,
    seed: int,
    task: TrainingTask,
) -> Stage:
    """Trains on the human labels of the labeled pairs, or with `labels` on the unlabeled pairs, to perform `task`."""

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.models.checkpoint import save_adapter
        from trimtab.training.preference_model import train_preference_model

        loaded = resolve_model(model, inputs).load(runtime.notify, runtime.device, num_shards=runtime.num_shards)
        pairs = [(pair, label) for pair, label in load_labeled_pairs(inputs) if label.choice is not None]
        examples = [
            _build_example(loaded, task.prompt, pair, label, order, settings.soft_labels)
            for pair, label in pairs
            for order in (BOTH_ORDERS if settings.presentation_order == "both" else (_random_order(pair, seed),))
        ]
        training_runtime = build_training_runtime(name, seed, loaded, runtime)
        with runtime.progress(f"Training: {name}", count_optimizer_steps(len(pairs), settings), "steps") as tick:
            policy, log = train_preference_model(loaded.model, examples, settings, training_runtime, draft.folder, tick)
        if runtime.is_main_process:
            save_adapter(policy, resolve_model(model, inputs).source, draft.folder)
        return summarize_training(log, settings, [len(example.pair) for example in examples], len(pairs))

    task_settings = {"training_task": dict(task.settings)} if task.settings else {}
    return Stage(
        name=name,
        kind=PREFERENCE_MODEL_KIND,
        role="training",
        training=settings,
        execute=execute,
        version=2,
        settings={"recipe": identity_settings(settings), "seed": seed, **task_settings},
        input_stages={"split": split, **as_input_stages(model), **as_label_inputs(labels)},
        external_hashes=as_external_hashes(model),
        work=estimate_training_work(
            PREFERENCE_MODEL_KIND, settings, unit="pairs", fact="processed_examples", splits=trained_split(labels)
        ),
    )


def _random_order(pair: Pair, seed: int) -> Order:
    return BOTH_ORDERS[random.Random(f"{seed}:{pair.id}").randrange(2)]


def _build_example(
    loaded: LoadedModel, prompt: PairwisePrompt, pair: Pair, label: Annotation, order: Order, soft: bool
) -> TrainingExample:
    """The request in this order, both candidate answers, and the probability of the first."""
    from trimtab.training.trainer import SoftLabel, TrainingExample

    request, chat = prompt.build_verdict_request(pair, order), loaded.chat
    prefill = chat.encode_text(request.prefill)
    answers = [tuple(chat.encode_text(request.prefill + candidate)[len(prefill) :]) for candidate in prompt.candidates]
    row = TokenizedPair(
        prompt=tuple(chat.encode_prompt(request.prompt) + prefill),
        first=answers[0] + chat.end_of_turn_ids,
        second=answers[1] + chat.end_of_turn_ids,
    )
    p_a = float(label.p_a or 0.0)
    p_first = p_a if choice_at_position(1, order) == "a" else 1.0 - p_a
    return TrainingExample(row, label=SoftLabel(p_first if soft else float(p_first > 0.5)))
