"""Labels one split of the pairs with one annotator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.component import Component, get_kind
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import Annotator, HasContentHash
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, EngineError, StudyError
from trimtab.pipeline.annotator_dependencies import AnnotatorDependencies
from trimtab.pipeline.completion_cache import PAIRS_PER_CHUNK
from trimtab.pipeline.engine_resources import EngineResources, completions_dir
from trimtab.pipeline.stage import Stage, StageInputs, Work, identity_settings
from trimtab.storage.artifacts import Draft
from trimtab.storage.chunks import Chunking
from trimtab.storage.schemas import (
    ANNOTATION_SCHEMA,
    annotations_to_rows,
    create_annotation_sequence,
    load_split_pairs,
)
from trimtab.types import Annotation, Pair

# With a larger fraction of failed labels (abstentions do not count), the problem is the annotator and not the pairs.
MAX_FAILED_LABEL_FRACTION = 0.2
# Pairs in memory at a time. No label depends on it.
PAIRS_PER_BATCH = 4096

LabelSplit = Literal["unlabeled", "test"]
# Calls the function for every chunk of so many pairs, and returns all labels in order.
RunChunks = Callable[[int, Callable[[slice], list[Annotation]]], list[Annotation]]


class _TooManyFailedError(Exception):
    """Stops labeling: the labels will be rejected."""


def annotate_stage(
    name: str,
    component: Component,
    split: Stage,
    dependencies: AnnotatorDependencies,
    split_name: LabelSplit = "unlabeled",
    chunk_size: int = PAIRS_PER_CHUNK,
) -> Stage:
    """Labels the pairs of one split. An annotator with engines labels `chunk_size` pairs at a time."""
    annotator = as_annotator(component)
    engines = EngineResources(configs=list_engine_configs(component), study_models=dependencies.engine_models)

    def execute(draft: Draft, inputs: StageInputs, runtime: Runtime) -> Mapping[str, Any]:
        label, pairs = f"Annotating: {name}", load_split_pairs(inputs["split"], split_name)

        def run_chunks(num_pairs: int, label_chunk: Callable[[slice], list[Annotation]]) -> list[Annotation]:
            chunking = Chunking(num_rows=num_pairs, size=chunk_size, conditions=runtime.rounding_options)
            return draft.compute_cached("annotations", chunking, label_chunk)

        with engines.open_engines(draft, inputs, runtime) as opened:
            annotator_inputs = dependencies.load_inputs(inputs, pairs, opened, annotator.requirements())
            annotations: Sequence[Annotation] = (
                annotate_in_chunks(
                    label, annotator, pairs, annotator_inputs, runtime, completions_dir(draft), run_chunks
                )
                if annotator_inputs.engines
                else annotate_without_engines(annotator, pairs, annotator_inputs)
            )
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        facts = validate_annotations(name, pairs, annotations, str(draft.folder))
        failed = facts["status"].get("failed")
        if annotator_inputs.engines and failed:
            runtime.notify(
                f"{name}: {failed} of {len(pairs)} labels failed. To retry them, delete {draft.folder} and run the same "
                "command again; everything made from these labels is then regenerated as well"
            )
        return facts

    return Stage(
        name=name,
        kind="annotate",
        role="annotation",
        execute=execute,
        settings={
            "annotator": identity_settings(component),
            **({"split": split_name} if split_name != "unlabeled" else {}),
        },
        input_stages={"split": split, **dependencies.stages, **engines.input_stages()},
        external_hashes={
            **({"annotator": component.content_hash()} if isinstance(component, HasContentHash) else {}),
            **engines.external_hashes(),
        },
        work=_estimate_work(component, engines, split_name),
    )


def _estimate_work(component: Component, engines: EngineResources, split_name: LabelSplit) -> Work | None:
    """None for a built-in annotator without engines, which takes no noticeable time."""
    kind, main_input = get_kind(component), engines.main_input()
    if not main_input and ":" not in kind:
        return None
    reasons = bool(getattr(component, "max_reasoning_tokens", 0))
    return Work(
        rate_key=f"annotate.{kind}{'.reasoned' if reasons else ''}",
        unit="pairs",
        fact="pairs",
        splits=(split_name,),
        model_input=main_input,
    )


def annotate_without_engines(
    annotator: Annotator, pairs: Sequence[Pair], inputs: AnnotatorInputs
) -> Sequence[Annotation]:
    """Labels by an annotator without engines, on disk if each of them depends on its pair alone."""
    requirements = annotator.requirements()
    if requirements.learns or requirements.human_labels or requirements.arms:
        return annotator.annotate(pairs, inputs)
    labels = create_annotation_sequence()
    for start in range(0, len(pairs), PAIRS_PER_BATCH):
        for label in annotator.annotate(list(pairs[start : start + PAIRS_PER_BATCH]), inputs):
            labels.append(label)
    return labels.as_sequence()


def annotate_in_chunks(
    label: str,
    annotator: Annotator,
    pairs: Sequence[Pair],
    inputs: AnnotatorInputs,
    runtime: Runtime,
    cache_dir: Path,
    run_chunks: RunChunks,
) -> list[Annotation]:
    """Labels by an annotator with engines. `label` is the title of the progress bar.

    Stops early once so many labels have failed that `validate_annotations` will reject them, to save the cost of the rest.
    The engines cache their responses in `cache_dir`, so that the same command resumes after a kill and retries what failed.
    Raises `EngineError` if an engine cannot be used any more.
    """
    labels, status = list[Annotation](), Counter[str]()
    with runtime.progress(label, len(pairs), "pairs") as tick:

        def label_chunk(part: slice) -> list[Annotation]:
            chunk_pairs = list(pairs[part])
            try:
                chunk = annotator.annotate(chunk_pairs, inputs)
            except EngineError as error:
                raise EngineError(
                    f"{error}; {len(labels)} of {len(pairs)} pairs were labeled, and all responses so far are cached in "
                    f"{cache_dir}: run the same command again to resume"
                ) from error
            labels.extend(chunk)
            status.update(label.status for label in chunk)
            tick(len(chunk_pairs))
            if _too_many_failed(status, len(pairs)):
                raise _TooManyFailedError
            return chunk

        try:
            return run_chunks(len(pairs), label_chunk)
        except _TooManyFailedError:
            return labels


def run_chunks_alone(num_pairs: int, label_chunk: Callable[[slice], list[Annotation]]) -> list[Annotation]:
    """Labels one chunk after the other, in one process without a stage."""
    starts = range(0, num_pairs, PAIRS_PER_CHUNK)
    return [label for start in starts for label in label_chunk(slice(start, min(start + PAIRS_PER_CHUNK, num_pairs)))]


def as_annotator(component: Component) -> Annotator:
    if not isinstance(component, Annotator):
        raise StudyError(f"{type(component).__name__} is not an annotator (it needs `requirements` and `annotate`)")
    return component


def validate_annotations(
    name: str, pairs: Sequence[Pair], annotations: Sequence[Annotation], location: str
) -> dict[str, Any]:
    """Facts for the record. Raises `DataError` if there is not one label per pair in order, or if too many failed."""
    status, is_ordered = Counter[str](), len(pairs) == len(annotations)
    for annotation, pair in zip_longest(annotations, pairs):
        if annotation is not None:
            status[annotation.status] += 1
            is_ordered = is_ordered and pair.id == annotation.pair_id
    if _too_many_failed(status, len(pairs)):
        raise DataError(
            f"{name}: {_describe_failures(annotations, len(pairs))}; the notes in {location} have the reasons"
        )
    if not is_ordered:
        raise DataError(f"{name}: the annotator must return one annotation per pair, in the order of the pairs")
    return {"pairs": len(pairs), "status": dict(status)}


def _too_many_failed(status: Counter[str], num_pairs: int) -> bool:
    """Whether too many of all pairs have failed already, or every pair of the first chunks."""
    failed = status["failed"]
    return failed > MAX_FAILED_LABEL_FRACTION * num_pairs or 0 < failed == status.total() < num_pairs


def _describe_failures(annotations: Sequence[Annotation], num_pairs: int) -> str:
    """The number of failed labels, their most common note, and the number of pairs that were not attempted."""
    notes = Counter(annotation.note for annotation in annotations if annotation.status == "failed")
    ((note, _),) = notes.most_common(1)
    skipped = num_pairs - len(annotations)
    return (
        f"{notes.total()} of {len(annotations)} labels failed (at most {MAX_FAILED_LABEL_FRACTION:.0%} may), most often with "
        f"“{note}”{f'; the other {skipped} pairs were not attempted' if skipped > 0 else ''}"
    )
