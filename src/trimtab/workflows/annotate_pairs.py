"""Labels pairs with one annotator, without a study."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trimtab.config.study import Arm
from trimtab.core.annotator_inputs import AnnotatorInputs, ResponseScores
from trimtab.core.component import Component, get_kind
from trimtab.core.engine_configs import get_requirements, get_training_task, list_engine_configs
from trimtab.core.engine_lifetime import open_engines
from trimtab.core.interfaces import Annotator
from trimtab.core.memory import free_memory
from trimtab.core.runtime import Runtime
from trimtab.data.split import normalized_prompt_hash
from trimtab.errors import DataError, StudyError
from trimtab.models.references import ModelRef
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.pipeline.plan.ad_hoc_study import build_ad_hoc_study, build_file_split
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import sort_stages
from trimtab.pipeline.plan.study_models import list_study_models
from trimtab.pipeline.preflight import prefetch_models
from trimtab.pipeline.stage_scheduler import execute_stages
from trimtab.pipeline.stages.annotate import (
    annotate_in_chunks,
    annotate_without_engines,
    as_annotator,
    run_chunks_alone,
)
from trimtab.pipeline.stages.filter import as_filter
from trimtab.pipeline.stages.split import as_source
from trimtab.pipeline.trial_prompts import Trials, compute_trial_key
from trimtab.prompts.comparison import DEFAULT_TRAINING_TASK
from trimtab.storage.artifacts import Artifact, Store
from trimtab.storage.schemas import load_annotations, load_split_pairs
from trimtab.types import Annotation, Choice, Dataset, Pair
from trimtab.workflows.in_memory_source import InMemoryPairs
from trimtab.workflows.model_references import ModelResolver

TRAINED_ARM = "learned"
# The note of a pair that has no label because the annotator may have learned from its prompt.
TRAINING_PROMPT_NOTE = "its prompt is among the training pairs, which have human labels"


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """A source of labeled pairs to learn from.

    Pairs with more than `max_length` tokens are not used for training, and are not labeled; None means a study's default.
    """

    source: Component
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelingResult:
    """Labels in the order of the pairs. `weights` identifies the models; `inputs` are the annotator's inputs."""

    labels: Sequence[Annotation]
    dataset: Dataset
    inputs: AnnotatorInputs
    weights: str
    seconds_per_pair: float


def annotate_pairs(
    annotator: Component,
    source: Component,
    runtime: Runtime,
    folder: Path,
    models_from: Path | None = None,
    training_pairs: TrainingPairs | None = None,
    label_filter: Component | None = None,
) -> LabelingResult:
    """Labels the pairs of a source.

    Models named with an @ are those of the finished run in `models_from`. An annotator that learns is trained on
    `training_pairs`. The labels are not filtered, but the inputs include those of `label_filter`. `folder` caches completions
    and trained models. Raises `StudyError` before any work if the annotator or its models cannot be used, `DataError` if the
    annotator failed on both trial pairs, and `EngineError` if a model becomes unavailable.
    """
    validate_standalone(annotator, training_pairs)
    resolver = ModelResolver(models_from, get_training_task(annotator, DEFAULT_TRAINING_TASK))
    models = {name: resolver.resolve(name) for name in get_requirements(annotator).logprob_models}
    configs = list_engine_configs(annotator)
    weights = [
        *(model.content_hash for model in models.values()),
        *(resolver.hash_engine(config) for config in configs.values()),
    ]
    dataset = as_source(source).load()
    pairs, start = dataset.pairs, time.monotonic()
    # engines are started first: if one fails, nothing has been computed yet
    # an annotator that learns is a stage, which starts its own
    started = {} if training_pairs is not None else configs
    start_functions = {name: partial(resolver.start_engine, config, runtime) for name, config in started.items()}
    with open_engines(start_functions) as engines:
        before_trial = time.monotonic()
        cache_keys = {name: resolver.cache_key(config) for name, config in configs.items()}
        if engines:
            key = compute_trial_key(annotator, cache_keys)
            Trials(folder, runtime).ask_component(f"annotator {get_kind(annotator)}", annotator, engines, key)
        start += time.monotonic() - before_trial  # a trial is no label
        is_read_by_id = training_pairs is not None or label_filter is not None
        inputs = AnnotatorInputs(
            logprobs={name: _compute_logprobs(model, pairs, runtime) for name, model in models.items()},
            human_labels=_collect_human_labels(pairs)
            if is_read_by_id or get_requirements(annotator).human_labels
            else {},
            engines={
                name: CachedEngine(engine=engine, cache_key=cache_keys[name], folder=folder, notify=runtime.notify)
                for name, engine in engines.items()
            },
            pairs={pair.id: pair for pair in pairs} if is_read_by_id else {},
        )
        if training_pairs is not None:
            folds = as_filter(label_filter).requirements().cross_fit_folds if label_filter else 0
            labels, inputs = _train_and_label(annotator, source, inputs, training_pairs, folds, folder, runtime)
        else:
            labels = _label(as_annotator(annotator), pairs, inputs, folder, runtime)
    seconds = (time.monotonic() - start) / max(1, len(pairs))
    return LabelingResult(
        labels=labels, dataset=dataset, inputs=inputs, weights=" ".join(weights), seconds_per_pair=seconds
    )


def _collect_human_labels(pairs: Sequence[Pair]) -> dict[str, Choice]:
    return {pair.id: pair.human for pair in pairs if pair.human is not None}


def _label(
    annotator: Annotator, pairs: Sequence[Pair], inputs: AnnotatorInputs, folder: Path, runtime: Runtime
) -> Sequence[Annotation]:
    if inputs.engines:
        return annotate_in_chunks("Prompting", annotator, pairs, inputs, runtime, folder, run_chunks_alone)
    return annotate_without_engines(annotator, pairs, inputs)


def validate_standalone(annotator: Component, training_pairs: TrainingPairs | None) -> None:
    """Raises `StudyError` if an annotator needs a study, or if training pairs are missing or unused."""
    kind = get_kind(annotator)
    requirements = as_annotator(annotator).requirements()
    if arms := requirements.arms:
        raise StudyError(
            f"annotator {kind}: reads the labels of other arms ({', '.join(arms)}), which exist only in a study; "
            "make it an arm of a study"
        )
    if requirements.learns and training_pairs is None:
        raise StudyError(f"annotator {kind}: learns from labeled pairs; give a file of them with --train-on FILE")
    if training_pairs is not None and (names := list_study_models(annotator)):
        name, model = next(iter(names.items()))
        raise StudyError(
            f"annotator {kind}: {name}: {model} is a model of a study; name a published model, such as "
            f"'{{kind: {kind}, {name}: smollm2-135m-instruct}}', or make the annotator an arm of a study"
        )
    if training_pairs is not None and not requirements.learns:
        raise StudyError(f"--train-on: annotator {kind} does not learn from labeled pairs; omit the option")


def validate_standalone_filter(component: Component, training_pairs: TrainingPairs | None) -> None:
    """Raises `StudyError` if a filter needs a study, or labeled pairs that are missing."""
    kind = get_kind(component)
    requirements = as_filter(component).requirements()
    if arms := requirements.arms:
        raise StudyError(
            f"filter {kind}: reads the labels of other arms ({', '.join(arms)}), which exist only in a study"
        )
    if requirements.learns and training_pairs is None:
        raise StudyError(
            f"filter {kind}: needs labeled pairs; give a file of them with --train-on FILE if the annotator learns, or make it "
            "an arm of a study"
        )


def _train_and_label(
    annotator: Component,
    source: Component,
    inputs: AnnotatorInputs,
    training_pairs: TrainingPairs,
    cross_fit_folds: int,
    folder: Path,
    runtime: Runtime,
) -> tuple[Sequence[Annotation], AnnotatorInputs]:
    """Trains the annotator and labels the pairs. Those that are too long for its model, or whose prompt is among the training
    pairs, have no label.

    With `cross_fit_folds`, the returned inputs include the labeled pairs, and their labels by annotators that were not trained
    on them.
    """
    arms = {TRAINED_ARM: Arm(annotator=annotator, labels_only=True)}
    new_pairs = _leave_out_training_prompts(source, inputs.pairs, training_pairs.source)
    study = build_ad_hoc_study("labels", new_pairs, arms, max_length=training_pairs.max_length)
    split = build_file_split(study, training_pairs.source, new_pairs)
    planner = LabelingPlanner(study, split)
    stage = planner.raw_labels(TRAINED_ARM)
    out_of_fold = planner.out_of_fold_labels(TRAINED_ARM, cross_fit_folds) if cross_fit_folds else None
    artifacts: dict[str, Artifact] = {}
    prefetch_models(study, runtime)
    stages = [stage] if out_of_fold is None else [stage, out_of_fold]
    execute_stages(sort_stages(stages), Store(folder), runtime, artifacts, lambda *_: None)
    labels = load_annotations(artifacts[stage.recipe.fingerprint])
    too_long = f"longer than {study.max_length} tokens; raise the limit with --max-length"
    new_ids = None if new_pairs is source else {pair.id for pair in as_source(new_pairs).load().pairs}
    notes = {key: too_long if new_ids is None or key in new_ids else TRAINING_PROMPT_NOTE for key in inputs.pairs}
    annotations = [
        labels.get(key, Annotation(pair_id=key, p_a=None, status="abstained", note=note)) for key, note in notes.items()
    ]
    if out_of_fold is None:
        return annotations, inputs
    labeled = list(load_split_pairs(artifacts[split.fingerprint], "labeled"))
    return annotations, replace(
        inputs,
        labeled_pairs=labeled,
        out_of_fold_labels=load_annotations(artifacts[out_of_fold.fingerprint]),
        human_labels={**inputs.human_labels, **_collect_human_labels(labeled)},
    )


def _leave_out_training_prompts(source: Component, pairs: Mapping[str, Pair], training_source: Component) -> Component:
    """The source, or its pairs whose prompts are not among the training pairs. Raises `DataError` if there are none."""
    trained = {normalized_prompt_hash(pair.prompt) for pair in as_source(training_source).load().pairs}
    new = [pair for pair in pairs.values() if normalized_prompt_hash(pair.prompt) not in trained]
    if not new:
        raise DataError(
            f"--train-on: the prompts of all {len(pairs)} pairs are among those of the training pairs, which have human "
            "labels; give pairs with other prompts"
        )
    return source if len(new) == len(pairs) else InMemoryPairs.from_pairs(new)


def _compute_logprobs(model: ModelRef, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, ResponseScores]:
    """Computes a model's log-probabilities of the pairs and frees the model's memory."""
    from trimtab.pipeline.stages.logprobs import compute_pair_logprobs  # noqa: PLC0415

    scores = compute_pair_logprobs(model.lazy(runtime.notify, runtime.device), pairs, runtime)
    free_memory()
    return scores
