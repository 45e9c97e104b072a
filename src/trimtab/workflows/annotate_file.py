"""Labels for a file of pairs, without a study."""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from trimtab.annotators.length import Length
from trimtab.config.study import Arm
from trimtab.core.annotator_inputs import AnnotatorInputs, ResponseScores
from trimtab.core.component import Component, build_component, build_component_from_options, get_kind
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import HasTrainingTask, UsesFeatures, UsesOutOfFoldLabels, UsesRewardModel
from trimtab.core.runtime import Runtime
from trimtab.errors import StudyError
from trimtab.pipeline.completion_cache import CachedEngine
from trimtab.pipeline.executor import LABEL_SCHEMA, execute_stages, prefetch_models
from trimtab.pipeline.plan.ad_hoc_study import build_ad_hoc_study, build_file_split
from trimtab.pipeline.plan.labeling_stages import LabelingPlanner
from trimtab.pipeline.plan.model import sort_stages
from trimtab.pipeline.stages.annotate import annotate_in_chunks, as_annotator, validate_annotations
from trimtab.pipeline.stages.filter import apply_filter, as_filter
from trimtab.prompts.comparison import DEFAULT_TRAINING_TASK
from trimtab.sources.file import File
from trimtab.stats import agreement_rate
from trimtab.storage.artifacts import Artifact, Draft, Store
from trimtab.storage.atomic import atomic_write_text
from trimtab.storage.schemas import load_annotations
from trimtab.types import Annotation, Choice, Dataset, Metric, Pair
from trimtab.workflows.model_references import ModelRef, ModelResolver, hash_model_ref, load_lazy_model_ref

LabelRows = Sequence[Mapping[str, Any]]

TRAINED_ARM = "learned"


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """Labeled pairs to learn from: a file, and of how many of its pairs a sample is taken.

    Pairs of more than `max_tokens` are not learned from, and labels of such pairs fail; None stands for a study's default.
    """

    file: Path
    limit: int | None = None
    max_length: int | None = None


LABEL_COLUMNS = pa.schema([*LABEL_SCHEMA, ("note", pa.string()), ("calls", pa.int64()), ("detail", pa.string())])
MAX_FAILURE_REASONS = 3


def annotate_file(
    pairs: Path,
    kind: str,
    settings: Sequence[str],
    run_dir: Path | None,
    output: Path,
    runtime: Runtime,
    training_pairs: TrainingPairs | None = None,
    filter_by: str = "",
) -> str:
    """Writes a row a pair to `to` and says in a few lines how it went.

    Models named with an @ are those of the finished run in `run_dir`: the annotator's `@weak` is its weak model. An
    annotator that learns does so from `fit`. `filter_by` is a filter's kind, or YAML with its settings; what it drops is
    written as abstained. Answers that were paid for lie beside `to` until none is missing, so that the same command goes on
    after a kill and asks again what failed. Raises `StudyError` before any work where the annotator, its models, the filter or
    `to` will not do, `EngineError` where a model can be asked no longer, and `DataError` after writing where too many labels
    failed, or the filter keeps none.
    """
    write = _build_writer(pairs, output)
    component = build_component_from_options("annotators", kind, settings)
    _validate_standalone(component, kind, training_pairs)
    chosen = _parse_filter(filter_by)
    lender = ModelResolver(
        run_dir, component.training_task() if isinstance(component, HasTrainingTask) else DEFAULT_TRAINING_TASK
    )
    models = {name: lender.resolve(name) for name in as_annotator(component).logprob_models()}
    engines = list_engine_configs(component)
    asked = [lender.hash_engine(engine) for engine in engines.values()]
    dataset = File(path=str(pairs)).load()
    start, kept = time.monotonic(), output.with_name(f"{output.name}.asked")
    started = {
        name: lender.start_engine(engine, runtime) for name, engine in engines.items()
    }  # which may fail: before the work
    given = AnnotatorInputs(
        logprobs={name: _compute_logprobs(model, dataset.pairs, runtime) for name, model in models.items()},
        human_labels={pair.id: pair.human for pair in dataset.pairs if pair.human is not None},
        engines={
            name: CachedEngine(engine=engine, cache_key=lender.cache_key(engines[name]), folder=kept)
            for name, engine in started.items()
        },
        pairs={pair.id: pair for pair in dataset.pairs},
    )
    labels = _compute_labels(component, pairs, dataset.pairs, given, training_pairs, kept, runtime)
    shared = {
        "annotator": type(component).__name__,
        "weights": " ".join([*map(hash_model_ref, models.values()), *asked]),
        "seconds": (time.monotonic() - start) / len(dataset.pairs),
    }
    write([shared | _to_row(given.pairs[label.pair_id], label) for label in labels])
    validate_annotations(kind, list(dataset.pairs), labels, str(output))
    lines = _format_summary(pairs.name, dataset, labels, given.human_labels)
    if chosen is not None:
        labels = apply_filter("--filter", chosen, labels, given)
        write([shared | _to_row(given.pairs[label.pair_id], label) for label in labels])
        lines.append(f"{sum(each.status == 'ok' for each in labels)} labels kept by {get_kind(chosen)}")
    if engines and any(each.status == "failed" for each in labels):
        lines.append(f"the same command asks again for those that failed; the other answers are kept in {kept}")
    elif kept.is_dir():
        shutil.rmtree(kept)
    return "\n".join(lines)


def _compute_labels(
    component: Component,
    file: Path,
    pairs: Sequence[Pair],
    given: AnnotatorInputs,
    fit: TrainingPairs | None,
    kept: Path,
    runtime: Runtime,
) -> list[Annotation]:
    if fit is not None:
        return _train_and_label(component, file, pairs, fit, kept, runtime)
    if given.engines:
        return annotate_in_chunks("Asking", as_annotator(component), pairs, given, runtime, kept)
    return as_annotator(component).annotate(pairs, given)


def _parse_filter(text: str) -> Component | None:
    """The filter of `--filter`. Raises `StudyError` where it reads what only a study has."""
    if not text:
        return None
    try:
        chosen = build_component("filters", yaml.safe_load(text))
    except (StudyError, yaml.YAMLError) as error:
        raise StudyError(f"--filter {text}: {error}") from error
    if others := as_filter(chosen).required_arms():
        raise StudyError(
            f"--filter {text}: it reads the labels of other arms ({', '.join(others)}), which only a study has"
        )
    if isinstance(chosen, UsesOutOfFoldLabels):
        raise StudyError(f"--filter {text}: it learns from labeled pairs of a study; make the annotator an arm of one")
    return chosen


def _validate_standalone(component: Component, kind: str, fit: TrainingPairs | None) -> None:
    """Raises `StudyError` for an annotator that needs a study, and for one that does not get what it learns from."""
    if others := as_annotator(component).required_arms():
        raise StudyError(
            f"--with {kind}: it reads the labels of other arms ({', '.join(others)}), which only a study has; "
            "make it an arm of one"
        )
    learns = isinstance(component, UsesFeatures | UsesRewardModel)
    if learns and fit is None:
        raise StudyError(f"--with {kind}: it learns from labeled pairs; name a file of them with --fit FILE")
    if fit is not None and not learns:
        raise StudyError(f"--fit: {kind} learns from no labeled pairs; leave it out")


def _train_and_label(
    component: Component, file: Path, pairs: Sequence[Pair], fit: TrainingPairs, folder: Path, runtime: Runtime
) -> list[Annotation]:
    """Labels by an annotator that learns from the pairs of `fit`; pairs that are too long for its model are failed."""
    arms = {TRAINED_ARM: Arm(annotator=component, labels_only=True)}
    study = build_ad_hoc_study("labels", file, arms, max_length=fit.max_length)
    split = build_file_split(study, File(path=str(fit.file), limit=fit.limit), File(path=str(file)))
    labels = LabelingPlanner(study, split).raw_labels(TRAINED_ARM)
    artifacts: dict[str, Artifact] = {}
    prefetch_models(study, runtime)
    execute_stages(sort_stages([labels]), Store(folder), runtime, artifacts, lambda *_: None)
    found = load_annotations(artifacts[labels.recipe.fingerprint])
    long = f"longer than {study.max_length} tokens; --max-tokens N allows more"
    return [found.get(pair.id, Annotation(pair_id=pair.id, p_a=None, status="failed", note=long)) for pair in pairs]


def _compute_logprobs(model: ModelRef, pairs: Sequence[Pair], runtime: Runtime) -> dict[str, ResponseScores]:
    """A model's log-probabilities of the pairs; the model is gone from memory when they are returned."""
    from trimtab.models.checkpoint import free_memory  # noqa: PLC0415 - loads torch
    from trimtab.pipeline.stages.logprobs import compute_pair_logprobs  # noqa: PLC0415

    scores = compute_pair_logprobs(load_lazy_model_ref(model, runtime), pairs, runtime)
    free_memory()
    return scores


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


def _build_writer(pairs: Path, to: Path) -> Callable[[LabelRows], None]:
    """What writes rows to `to` in the format of its suffix. Raises `StudyError` where that cannot be."""
    formats: dict[str, Callable[[LabelRows], None]] = {
        ".parquet": lambda rows: Draft(folder=to.parent).write_rows(to.stem, rows, LABEL_COLUMNS),
        ".jsonl": lambda rows: atomic_write_text(to, "".join(_to_jsonl_line(row) for row in rows)),
        ".csv": lambda rows: atomic_write_text(to, _to_csv(rows)),
    }
    if to.suffix not in formats:
        raise StudyError(f"--out {to}: the suffix must be one of {', '.join(formats)}, got {to.suffix or 'none'}")
    if to.resolve() == pairs.resolve():
        raise StudyError(f"--out {to}: that is the file of pairs itself; name another")
    if to.is_dir():
        raise StudyError(f"--out {to}: that is a folder; name a file in it")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"--out {to}: cannot make the folder {to.parent}: {error.strerror}") from error
    return formats[to.suffix]


def _to_jsonl_line(row: Mapping[str, Any]) -> str:
    """A row as JSON, its detail as JSON within it."""
    return json.dumps({**_select_columns(row), "detail": json.loads(row["detail"] or "{}")}) + "\n"


def _select_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in LABEL_COLUMNS.names}


def _to_csv(rows: LabelRows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, LABEL_COLUMNS.names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_select_columns(row) for row in rows)
    return text.getvalue()


def _format_summary(
    file: str, dataset: Dataset, labels: Sequence[Annotation], human: Mapping[str, Choice]
) -> list[str]:
    status = Counter(label.status for label in labels)
    lines = [f"{len(labels)} pairs: {status['ok']} labeled, {status['abstained']} abstained, {status['failed']} failed"]
    if dataset.failures:
        reasons = Counter(failure.reason for failure in dataset.failures).most_common(MAX_FAILURE_REASONS)
        told = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        lines.append(f"{len(dataset.failures)} rows of {file} gave no pair: {told}")
    ours: dict[str, Choice | None] = {label.pair_id: label.choice for label in labels if label.choice is not None}
    theirs: dict[str, Choice | None] = {key: human[key] for key in ours if key in human}
    if not theirs:
        return [*lines, "no labeled pair has a human label to compare with"]
    longest = {each.pair_id: each.choice for each in Length().annotate(dataset.pairs, AnnotatorInputs())}
    return [
        *lines,
        f"agreement with the human labels: {_format_agreement(agreement_rate(ours, theirs))}",
        f"the longer response, on the same pairs: {_format_agreement(agreement_rate(longest, theirs))}",
    ]


def _format_agreement(metric: Metric) -> str:
    """`0.71 [0.65, 0.77] of 512 pairs`, and how many pairs the rule said nothing of."""
    if metric.value is None:
        return f"says nothing of any of {metric.n_failed} pairs"
    silent = f" (it says nothing of {metric.n_failed})" if metric.n_failed else ""
    return f"{metric.value:.2f} [{metric.low:.2f}, {metric.high:.2f}] of {metric.n} pairs{silent}"
