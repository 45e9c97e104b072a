"""Labels the pairs in a file and writes the labels to another file, without a study."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.core.component import Component, build_component, build_component_from_options, get_kind
from trimtab.core.runtime import Runtime
from trimtab.core.yaml_text import parse_yaml
from trimtab.errors import StudyError
from trimtab.metrics.label_certificate import describe_certificate, parse_certificate
from trimtab.metrics.model_preference import compare_models
from trimtab.pipeline.plan.filter_checks import require_suitable_filter
from trimtab.pipeline.stages.annotate import validate_annotations
from trimtab.pipeline.stages.filter import apply_filter, collect_filter_facts
from trimtab.types import Annotation
from trimtab.workflows.annotate_pairs import (
    TRAINING_PROMPT_NOTE,
    LabelingResult,
    TrainingPairs,
    annotate_pairs,
    validate_standalone,
    validate_standalone_filter,
)
from trimtab.workflows.label_output import prepare_output
from trimtab.workflows.label_rows import LabeledFile, find_pool_columns
from trimtab.workflows.label_summary import is_next_step, summarize_labels
from trimtab.workflows.output_files import lock_completions
from trimtab.workflows.pair_files import build_pair_file
from trimtab.workflows.response_models import format_model_preferences, read_response_models


def annotate_file(
    pairs: Path,
    kind: str,
    settings: Sequence[str],
    models_from: Path | None,
    output: Path,
    runtime: Runtime,
    training_pairs: TrainingPairs | None = None,
    filter_by: str = "",
    data_settings: Mapping[str, Any] | None = None,
    label_format: str = "rows",
    limit: int | None = None,
) -> str:
    """Writes the labels to `output` and returns a summary of a few lines.

    `label_format` is `rows` (every input row with its label), `trl` (training files) or `ids` (labels by pair id).
    `data_settings` are those of the source `file`; `limit` selects a random sample of that many pairs. Models named with an @
    are those of the finished run in `models_from`: the annotator's `@weak` is its weak model. An annotator that learns is
    trained on `training_pairs`. `filter_by` is a filter's kind, or YAML with its settings; labels that it drops are written as
    abstained. Completions are cached in `output.completions` until no label is missing, so that the same command resumes after
    a kill and retries failed labels.

    Raises `StudyError` before any work if the annotator, its models, the filter or `output` cannot be used, `EngineError` if a
    model becomes unavailable, and `DataError` if the filter refuses the labels or keeps none, or, after writing, if too many
    labels failed.
    """
    training_path = None if training_pairs is None else getattr(training_pairs.source, "path", None)
    write = prepare_output(output, str(pairs), label_format, training_path)
    annotator = build_component_from_options("annotators", kind, settings)
    validate_standalone(annotator, training_pairs)
    label_filter = _parse_filter(filter_by, annotator, training_pairs)
    source = find_pool_columns(build_pair_file(pairs, data_settings or {}, limit))
    trained = f", after training on {training_path}" if training_path else ""
    runtime.notify(f"Labeling the pairs in {pairs} with {kind}{trained}; the labels go to {output}")
    with lock_completions(output) as folder:
        result = annotate_pairs(annotator, source, runtime, folder, models_from, training_pairs, label_filter)
        lines = summarize_labels(
            kind,
            pairs,
            result.dataset,
            result.labels,
            label_format,
            str(training_path or ""),
        )
        if training_pairs is not None and (
            in_training := sum(label.note == TRAINING_PROMPT_NOTE for label in result.labels)
        ):
            lines.append(f"{in_training} pairs have no label: their prompts are among those of {training_path}")
        lines += _summarize_models(result)
        labels, filter_lines = _apply_filter(label_filter, result)
        lines += filter_lines
        shared = _describe_labeling(annotator, result)
        write(LabeledFile(source=source, dataset=result.dataset, labels=labels, shared=shared))
        validate_annotations(kind, result.dataset.pairs, result.labels, str(output))
        if result.inputs.engines and any(label.status == "failed" for label in labels):
            lines.append(f"run the same command to retry failed labels; the other completions are cached in {folder}")
        elif folder.is_dir():
            shutil.rmtree(folder)
    return "\n".join(sorted(lines, key=is_next_step))


def _apply_filter(label_filter: Component | None, result: LabelingResult) -> tuple[Sequence[Annotation], list[str]]:
    """The labels that the filter keeps, and a few lines on them."""
    if label_filter is None or not any(label.status == "ok" for label in result.labels):
        return result.labels, []
    labels = apply_filter("--filter", label_filter, result.labels, result.inputs)
    facts = collect_filter_facts(label_filter, result.labels, result.inputs)
    kept = f"{sum(label.status == 'ok' for label in labels)} labels kept by {get_kind(label_filter)}"
    return labels, [kept, *describe_certificate(parse_certificate("--filter", facts))]


def _summarize_models(result: LabelingResult) -> list[str]:
    """How often each model's responses are preferred over another model's, if the rows name the models."""
    models = read_response_models(result.dataset)
    prompts = {pair.id: pair.prompt_id for pair in result.dataset.pairs if pair.id in models} if models else {}
    return format_model_preferences(compare_models(result.labels, models, prompts))


def _describe_labeling(annotator: Component, result: LabelingResult) -> dict[str, Any]:
    return {
        "annotator": get_kind(annotator),
        "weights": result.weights,
        "seconds": result.seconds_per_pair,
    }


def _parse_filter(text: str, annotator: Component, training_pairs: TrainingPairs | None) -> Component | None:
    """Parses `--filter`. Raises `StudyError` if the filter needs a study, or labels of another kind."""
    if not text:
        return None
    try:
        component = build_component("filters", parse_yaml(text, "--filter"))
        validate_standalone_filter(component, training_pairs)
    except StudyError as error:
        raise StudyError(f"--filter {text}: {error}") from error
    require_suitable_filter("--filter", component, annotator)
    return component
