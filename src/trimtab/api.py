"""The Python API: load pairs, label them, audit an annotator, plan and run a study, read its results.

Functions show progress on standard error. `device` is `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trimtab.cli.runtime import build_runtime
from trimtab.cli.terminal import stage_progress_callback
from trimtab.config.study import Study
from trimtab.core.component import Component, build_component, get_kind
from trimtab.errors import StudyError
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.plan.filter_checks import require_suitable_filter
from trimtab.pipeline.stages.annotate import validate_annotations
from trimtab.pipeline.stages.filter import apply_filter
from trimtab.report.data_frames import RunResults
from trimtab.report.write_report import write_report
from trimtab.sources.file import File
from trimtab.storage.shared_store import SharedStore
from trimtab.types import Annotation, Dataset, Pair
from trimtab.workflows.annotate_pairs import TrainingPairs, annotate_pairs, validate_standalone_filter
from trimtab.workflows.audit import Audit, run_audit
from trimtab.workflows.audit.request import AuditRequest
from trimtab.workflows.in_memory_source import InMemoryPairs
from trimtab.workflows.study_plan import StudyPlan

ComponentLike = str | Mapping[str, Any] | Component


def load_pairs(path: str | Path, **settings: Any) -> Dataset:
    """Loads preference pairs from a file, a folder or a glob pattern: jsonl, json, csv or parquet.

    `settings` are those of the source `file`: `columns`, `label_values`, `layout`, `limit`, `seed`, `turns`,
    `rating_column`. Raises `DataError` if no row is usable. The result lists unusable rows in `failures`, and in `origins` the
    file and row of each pair, and which of its responses comes first there.
    """
    component = build_component("sources", {"kind": "file", "path": str(path), **settings})
    assert isinstance(component, File)  # noqa: S101 - for the type checker
    return component.load()


def annotate(
    pairs: Iterable[Pair],
    annotator: ComponentLike,
    settings: Mapping[str, Any] | None = None,
    *,
    models_from: str | Path | None = None,
    train_on: str | Path | Iterable[Pair] | None = None,
    filter_by: ComponentLike | None = None,
    max_length: int | None = None,
    cache_dir: str | Path | None = None,
    device: str = "auto",
    token_budget: int = 1024,
) -> list[Annotation]:
    """Labels pairs and returns one annotation per pair, in order.

    `annotator` is a kind, a mapping with `kind`, or a component; `settings` are its settings if it is a kind. `models_from` is
    the folder of a finished run, whose models are available as `@weak`, `@student` and so on. Annotators that learn
    (`probe`, `reward_model`) need `train_on`: labeled pairs, or a file of them; pairs with more than `max_length` tokens are
    excluded. `filter_by` is a filter; labels that it drops are returned as abstained. `cache_dir` keeps completions and trained
    models for later calls.

    Raises `StudyError` if the annotator or the filter needs a study, and `DataError` if more than 20% of the labels fail.
    """
    pairs = list(pairs)
    component = _build("annotators", annotator, settings)
    label_filter = None if filter_by is None else _build("filters", filter_by)
    training_pairs = None if train_on is None else TrainingPairs(_as_source(train_on), max_length)
    if label_filter is not None:
        validate_standalone_filter(label_filter, training_pairs)
        require_suitable_filter("filter_by", label_filter, component)
    source = InMemoryPairs.from_pairs(pairs)
    with _work_folder(cache_dir) as folder:
        runtime = build_runtime(device, token_budget)
        models = None if models_from is None else Path(models_from)
        result = annotate_pairs(component, source, runtime, folder, models, training_pairs, label_filter)
        labels = result.labels
        validate_annotations(get_kind(component), list(source.pairs), labels, "the annotations")
    if label_filter is not None:
        labels = apply_filter("filter_by", label_filter, labels, result.inputs)
    by_id = {label.pair_id: label for label in labels}
    return [by_id[pair.id] for pair in pairs]


def audit(
    labeled: str | Path,
    annotator: ComponentLike = "probe",
    settings: Mapping[str, Any] | None = None,
    *,
    train_on: str | Path | None = None,
    max_train_pairs: int | None = None,
    max_pairs: int | None = None,
    unlabeled: str | Path | None = None,
    max_unlabeled: int | None = None,
    reference_model: str | None = None,
    study: Study | str | Path | None = None,
    learning_curve: bool | None = None,
    max_length: int | None = None,
    data_settings: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    device: str = "auto",
    token_budget: int = 1024,
) -> Audit:
    """Estimates the quality of an annotator's labels on pairs with human labels, before training.

    `labeled` is a file of pairs, evaluated completely or on a random sample of `max_pairs`. `annotator` and `settings` are as
    in `annotate`. An annotator that learns is cross-fitted, or trained on the file `train_on`. `unlabeled` is a file of pairs
    for which the accuracy of labels is estimated, all of them or a random sample of `max_unlabeled`; `reference_model` is a
    model that is prompted for comparison, and `study` a study whose weak model is audited. `data_settings` are those of
    `load_pairs`, for all files. `folder` keeps intermediate results, so that a second call resumes.
    `print(trimtab.audit(...))` shows the tables of the terminal.
    """
    component = _build("annotators", annotator, settings)
    request = AuditRequest(
        labeled=Path(labeled),
        kind=get_kind(component),
        annotator=component,
        train_on=None if train_on is None else Path(train_on),
        max_train_pairs=max_train_pairs,
        max_pairs=max_pairs,
        unlabeled=None if unlabeled is None else Path(unlabeled),
        max_unlabeled=max_unlabeled,
        reference_model=reference_model,
        source_study=None if study is None else _as_study(study),
        learning_curve=learning_curve,
        max_length=max_length,
        data_settings=data_settings or {},
    )
    with _work_folder(folder) as work_folder:
        return run_audit(request, work_folder, build_runtime(device, token_budget), stage_progress_callback())


def plan(study: Study | str | Path, folder: str | Path | None = None, *, store: str | Path | None = None) -> StudyPlan:
    """Plans a study without running anything: stages, reasons and time estimates. `print(plan(study))` shows a table.

    `store` is a folder of stages that several runs share.
    """
    study = _as_study(study)
    return StudyPlan.of_study(study, _run_folder(study, folder), None if store is None else Path(store))


def run(
    study: Study | str | Path,
    folder: str | Path | None = None,
    *,
    store: str | Path | None = None,
    device: str = "auto",
    token_budget: int = 1024,
    workers: int | None = None,
    ray_address: str | None = None,
    shard: bool = False,
    trainer_arguments: Mapping[str, Any] | None = None,
) -> RunResults:
    """Runs a study, writes `report.html` and `report.json`, and returns the results. Run again to resume.

    `folder` is `runs/` and the study's name by default. `store` is a folder of stages that several runs share, so that each is
    computed once. `workers` processes (1 by default) execute independent stages at the same time. With `ray_address`, such as
    `"auto"`, these are actors in a Ray cluster, by default as many as it has room for. `shard` divides the
    frozen weights of LoRA trainings among the processes of `torchrun`. `trainer_arguments` are passed to
    `transformers.TrainingArguments`, such as `{"report_to": "wandb"}`.
    Raises `StoreError` if another run uses the folder, and `ClusterError` if the cluster cannot take part.
    """
    study = _as_study(study)
    path = _run_folder(study, folder)
    runtime = build_runtime(device, token_budget, trainer_arguments, shard=shard)
    shared = None if store is None else SharedStore(Path(store))
    run_study(study, path, runtime, stage_progress_callback(), shared, workers, ray_address)
    if runtime.is_main_process:
        write_report(path)
    return RunResults(path)


def open_run(folder: str | Path) -> RunResults:
    """Opens the results of a run. Raises `StoreError` if the folder holds no run."""
    return RunResults(folder)


def _build(package: str, component: ComponentLike, settings: Mapping[str, Any] | None = None) -> Component:
    if not settings:
        return build_component(package, component)
    if not isinstance(component, str):
        raise StudyError("settings: give them inside the mapping or the component, or give the kind as text")
    return build_component(package, {"kind": component, **settings})


def _as_source(pairs: str | Path | Iterable[Pair]) -> Component:
    if isinstance(pairs, str | Path):
        return File(path=str(pairs))
    return InMemoryPairs.from_pairs(list(pairs))


def _as_study(study: Study | str | Path) -> Study:
    return study if isinstance(study, Study) else Study.load(study)


def _run_folder(study: Study, folder: str | Path | None) -> Path:
    return Path("runs") / study.name if folder is None else Path(folder)


@contextmanager
def _work_folder(folder: str | Path | None) -> Iterator[Path]:
    """The given folder, or a temporary one that is deleted afterwards."""
    if folder is not None:
        yield Path(folder)
        return
    with TemporaryDirectory(prefix="trimtab-") as temporary:
        yield Path(temporary)
