"""Labels the pairs in a file and writes the labels to another file, without a study."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from trimtab.annotators.length import Length
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component, build_component, build_component_from_options, get_kind
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.pipeline.stages.annotate import validate_annotations
from trimtab.pipeline.stages.filter import apply_filter
from trimtab.sources.file import File
from trimtab.stats import agreement_rate
from trimtab.storage.artifacts import Draft
from trimtab.storage.atomic import atomic_write_text
from trimtab.storage.schemas import LABEL_SCHEMA
from trimtab.types import Annotation, Choice, Dataset, Metric, Pair
from trimtab.workflows.annotate_pairs import (
    TrainingPairs,
    annotate_pairs,
    validate_standalone,
    validate_standalone_filter,
)

LabelRows = Sequence[Mapping[str, Any]]

LABEL_FILE_SCHEMA = pa.schema([*LABEL_SCHEMA, ("note", pa.string()), ("calls", pa.int64()), ("detail", pa.string())])
MAX_FAILURE_REASONS = 3


def annotate_file(
    pairs: Path,
    kind: str,
    settings: Sequence[str],
    models_from: Path | None,
    output: Path,
    runtime: Runtime,
    training_pairs: TrainingPairs | None = None,
    filter_by: str = "",
) -> str:
    """Writes one row per pair to `output` and returns a summary of a few lines.

    Models named with an @ are those of the finished run in `models_from`: the annotator's `@weak` is its weak model. An
    annotator that learns is trained on `training_pairs`. `filter_by` is a filter's kind, or YAML with its settings; labels that
    it drops are written as abstained. Completions are cached in `output.completions` until no label is missing, so that the
    same command resumes after a kill and retries failed labels.

    Raises `StudyError` before any work if the annotator, its models, the filter or `output` cannot be used, `EngineError` if a
    model becomes unavailable, and `DataError` after writing if too many labels failed or the filter keeps none.
    """
    write = _build_writer(pairs, output)
    annotator = build_component_from_options("annotators", kind, settings)
    validate_standalone(annotator, training_pairs)
    label_filter = _parse_filter(filter_by)
    folder = output.with_name(f"{output.name}.completions")
    result = annotate_pairs(annotator, File(path=str(pairs)), runtime, folder, models_from, training_pairs)
    dataset, labels, inputs = result.dataset, result.labels, result.inputs
    shared = {
        "annotator": type(annotator).__name__,
        "weights": result.weights,
        "seconds": result.seconds_per_pair,
    }
    write([shared | _to_row(inputs.pairs[label.pair_id], label) for label in labels])
    validate_annotations(kind, list(dataset.pairs), labels, str(output))
    lines = _format_summary(pairs.name, dataset, labels, inputs.human_labels)
    if label_filter is not None:
        labels = apply_filter("--filter", label_filter, labels, inputs)
        write([shared | _to_row(inputs.pairs[label.pair_id], label) for label in labels])
        lines.append(f"{sum(label.status == 'ok' for label in labels)} labels kept by {get_kind(label_filter)}")
    if inputs.engines and any(label.status == "failed" for label in labels):
        lines.append(f"run the same command to retry failed labels; the other completions are cached in {folder}")
    elif folder.is_dir():
        shutil.rmtree(folder)
    return "\n".join(lines)


def _parse_filter(text: str) -> Component | None:
    """Parses `--filter`. Raises `StudyError` if the filter needs a study."""
    if not text:
        return None
    try:
        component = build_component("filters", yaml.safe_load(text))
        validate_standalone_filter(component)
    except (StudyError, yaml.YAMLError) as error:
        raise StudyError(f"--filter {text}: {error}") from error
    return component


def _to_row(pair: Pair, label: Annotation) -> dict[str, Any]:
    return {
        "id": pair.id,
        "p_a": label.p_a,
        "margin": label.margin,
        "status": label.status,
        "prompt_hash": pair.prompt_id,
        "tokens": label.cost.prompt_tokens + label.cost.generated_tokens,
        "note": label.note,
        "calls": label.cost.calls,
        "detail": json.dumps(label.detail, ensure_ascii=False) if label.detail else "",
        **({"seconds": label.cost.seconds} if label.cost.calls else {}),
    }


def _build_writer(pairs: Path, output: Path) -> Callable[[LabelRows], None]:
    """Returns a function that writes rows in the format of the suffix. Raises `StudyError` if that is not possible."""
    writers: dict[str, Callable[[LabelRows], None]] = {
        ".parquet": lambda rows: Draft(folder=output.parent).write_rows(output.stem, rows, LABEL_FILE_SCHEMA),
        ".jsonl": lambda rows: atomic_write_text(output, "".join(_to_jsonl_line(row) for row in rows)),
        ".csv": lambda rows: atomic_write_text(output, _to_csv(rows)),
    }
    if output.suffix not in writers:
        raise StudyError(
            f"--out {output}: the suffix must be one of {', '.join(writers)}, got {output.suffix or 'none'}"
        )
    if output.resolve() == pairs.resolve():
        raise StudyError(f"--out {output}: this is the file of pairs; choose another file")
    if output.is_dir():
        raise StudyError(f"--out {output}: it is a folder; give the path of a file")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"--out {output}: cannot create the folder {output.parent}: {error.strerror}") from error
    return writers[output.suffix]


def _to_jsonl_line(row: Mapping[str, Any]) -> str:
    """A row as JSON, with its detail as nested JSON."""
    return json.dumps({**_select_columns(row), "detail": json.loads(row["detail"] or "{}")}) + "\n"


def _select_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in LABEL_FILE_SCHEMA.names}


def _to_csv(rows: LabelRows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, LABEL_FILE_SCHEMA.names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_select_columns(row) for row in rows)
    return text.getvalue()


def _format_summary(
    file: str, dataset: Dataset, labels: Sequence[Annotation], human_labels: Mapping[str, Choice]
) -> list[str]:
    status = Counter(label.status for label in labels)
    lines = [f"{len(labels)} pairs: {status['ok']} labeled, {status['abstained']} abstained, {status['failed']} failed"]
    if dataset.failures:
        counts = Counter(failure.reason for failure in dataset.failures).most_common(MAX_FAILURE_REASONS)
        reasons = "; ".join(f"{reason} ({count})" for reason, count in counts)
        lines.append(f"{len(dataset.failures)} rows of {file} are not usable: {reasons}")
    choices: dict[str, Choice | None] = {label.pair_id: label.choice for label in labels if label.choice is not None}
    human: dict[str, Choice | None] = {key: human_labels[key] for key in choices if key in human_labels}
    if not human:
        return [*lines, "no labeled pair has a human label to compare with"]
    longer = {label.pair_id: label.choice for label in Length().annotate(dataset.pairs, AnnotatorInputs())}
    return [
        *lines,
        f"agreement with human labels: {_format_agreement(agreement_rate(choices, human))}",
        f"length baseline (longer response), same pairs: {_format_agreement(agreement_rate(longer, human))}",
    ]


def _format_agreement(metric: Metric) -> str:
    """`0.71 [0.65, 0.77] of 512 pairs (3 abstained)`."""
    if metric.value is None:
        return f"abstained on all {metric.n_failed} pairs"
    abstained = f" ({metric.n_failed} abstained)" if metric.n_failed else ""
    return f"{metric.value:.2f} [{metric.low:.2f}, {metric.high:.2f}] of {metric.n} pairs{abstained}"
