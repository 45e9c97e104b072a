"""Training a model to say which of two responses is better, in the words in which it will be asked."""

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
    load_model_source,
    resolve_adapter_base,
)
from trimtab.pipeline.stages.train import build_training_runtime, load_labeled_pairs, summarize_training_log
from trimtab.prompts.comparison import BOTH_ORDERS, DEFAULT_TRAINING_TASK, choice_at_position
from trimtab.storage.artifacts import Draft
from trimtab.types import Annotation, Order, Pair

if TYPE_CHECKING:
    from trimtab.models.checkpoint import LoadedModel
    from trimtab.training.trainer import TrainingExample


def preference_model_stage(
    name: str,
    model: ModelSource,
    split: Stage,
    labels: Stage | None,
    recipe: PreferenceModelSettings,
    seed: int,
    exam: TrainingTask = DEFAULT_TRAINING_TASK,
) -> Stage:
    """Trains on the human labels of the labeled pairs, or on those that `labels` put on the unlabeled, to answer `exam`."""

    def make(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        from trimtab.models.checkpoint import save_adapter
        from trimtab.training.preference_model import train_preference_model
        from trimtab.training.trainer import count_optimizer_steps

        loaded = load_model_source(model, inputs, runtime)
        pairs = [(pair, label) for pair, label in load_labeled_pairs(inputs) if label.choice is not None]
        examples = [
            _build_example(loaded, exam.prompt, pair, label, order, recipe.soft_labels)
            for pair, label in pairs
            for order in (BOTH_ORDERS if recipe.presentation_order == "both" else (_random_order(pair, seed),))
        ]
        told_to = build_training_runtime(name, seed, loaded, runtime)
        with runtime.progress(f"Training: {name}", count_optimizer_steps(len(pairs), recipe), "steps") as tick:
            policy, log = train_preference_model(loaded.model, examples, recipe, told_to, draft.folder, tick)
        if runtime.is_main_process:
            save_adapter(policy, resolve_adapter_base(model, inputs), draft.folder)
        return {
            **summarize_training_log(log),
            "examples": len(examples),
            "tokens": sum(len(each.pair) for each in examples),
        }

    return Stage(
        name=name,
        kind="preference_model",
        execute=make,
        version=2,
        settings={
            "recipe": identity_settings(recipe),
            "seed": seed,
            **({"training_task": dict(exam.settings)} if exam.settings else {}),
        },
        input_stages={"split": split, **as_input_stages(model), **({"labels": labels} if labels else {})},
        external_hashes=as_external_hashes(model),
    )


def _random_order(pair: Pair, seed: int) -> Order:
    return BOTH_ORDERS[random.Random(f"{seed}:{pair.id}").randrange(2)]


def _build_example(
    loaded: LoadedModel, asked: PairwisePrompt, pair: Pair, label: Annotation, order: Order, soft: bool
) -> TrainingExample:
    """The question in this order with both answers, and how much each of them counts."""
    from trimtab.training.trainer import SoftLabel, TrainingExample

    question, chat = asked.build_verdict_request(pair, order), loaded.chat
    begun = chat.encode_text(question.prefill)
    answers = [chat.encode_text(question.prefill + each)[len(begun) :] for each in asked.candidates]
    row = TokenizedPair(
        prompt=tuple(chat.encode_prompt(question.prompt) + begun),
        first=tuple(answers[0]) + chat.end_of_turn_ids,
        second=tuple(answers[1]) + chat.end_of_turn_ids,
    )
    p_first = float(label.p_a or 0.0) if choice_at_position(1, order) == "a" else 1.0 - float(label.p_a or 0.0)
    return TrainingExample(row, label=SoftLabel(p_first if soft else float(p_first > 0.5)))
