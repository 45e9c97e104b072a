"""Carrying a plan out: stage by stage, each made once, and an index of where everything lies."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from trimtab.config.study import Study
from trimtab.core.engine_configs import list_engine_configs
from trimtab.core.interfaces import EngineConfig, HasPreflight
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError, EngineError, ModelError, StoreError
from trimtab.models.config import compute_model_hash, resolve_weights
from trimtab.pipeline.plan import ROW_STAGES, Plan, RowStages, build_plan, required_models
from trimtab.pipeline.run_index import RowIndex, RunIndex
from trimtab.pipeline.stage import TABLE_KINDS, TRAINING_KINDS, Stage, identity_settings
from trimtab.pipeline.stages.cross_fit import MIN_CROSS_FIT_PAIRS
from trimtab.pipeline.stale_stages import find_stale_stages
from trimtab.storage.artifacts import Artifact, Draft, Store
from trimtab.storage.atomic import atomic_write_text
from trimtab.storage.schemas import load_annotations, load_split_pairs

LABEL_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("p_a", pa.float64()),
        ("margin", pa.float64()),
        ("status", pa.string()),
        ("annotator", pa.string()),
        ("weights", pa.string()),
        ("prompt_hash", pa.string()),
        ("tokens", pa.int64()),
        ("seconds", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Where a run's results lie, and how many of its stages were made now."""

    folder: Path
    created: tuple[str, ...]
    reused: tuple[str, ...]
    seconds: float


def run_study(
    study: Study, folder: Path, runtime: Runtime, on_stage_start: Callable[[int, int, str], None]
) -> RunResult:
    """Makes what is not there yet and writes the index; `began(place, total, name)` is told of each stage that is made.

    Run again after a kill, it goes on from where it stopped. Raises `StoreError` where another run holds the folder.
    """
    store = Store(folder)
    start = time.monotonic()
    if not runtime.is_main_process:
        return run_worker(study, store, runtime)
    with store.lock():
        atomic_write_text(folder / "study.yaml", study.to_yaml())
        prefetch_models(study, runtime)
        preflight_scorers(study, runtime)
        artifacts: dict[str, Artifact] = {}
        made: list[str] = []
        plan = build_plan(study)

        def note(*names: str) -> None:
            """The index says from the beginning what there will be, so that a run that was killed can be reported on."""
            made.extend(names)
            _build_index(study, plan, store, made).save(folder)

        note()
        execute_stages([plan.split], store, runtime, artifacts, on_stage_start, note)
        plan = build_plan(
            study, human_on_unlabeled=has_human_labels_on_unlabeled(artifacts[plan.split.recipe.fingerprint])
        )
        require_labeled_pairs(plan, artifacts[plan.split.recipe.fingerprint])
        preflight_engines(study, plan, store, runtime)
        note()
        execute_stages(plan.stages, store, runtime, artifacts, on_stage_start, note)
        _write_label_files(plan, artifacts, folder)
        names = tuple(artifact.folder.name for artifact in artifacts.values())
    kept = tuple(name for name in names if name not in made)
    return RunResult(folder=folder, created=tuple(made), reused=kept, seconds=time.monotonic() - start)


def run_worker(study: Study, store: Store, runtime: Runtime) -> RunResult:
    """What a process that does not lead does: its share of the training, waiting for all the rest to be made."""
    prefetch_models(study, runtime)
    split = build_plan(study).split
    artifacts = {split.recipe.fingerprint: _wait_for_stage(split, store)}
    plan = build_plan(study, human_on_unlabeled=has_human_labels_on_unlabeled(artifacts[split.recipe.fingerprint]))
    for stage in plan.stages:
        key = stage.recipe.fingerprint
        if key not in artifacts:
            if stage.kind in TRAINING_KINDS and store.find(stage.name, stage.recipe) is None:
                _bind_inputs(stage, artifacts, runtime)(Draft(folder=store.folder(stage.name, stage.recipe)))
            artifacts[key] = _wait_for_stage(stage, store)
    return RunResult(folder=store.root, created=(), reused=(), seconds=0.0)


def _wait_for_stage(stage: Stage, store: Store) -> Artifact:
    while (found := store.find(stage.name, stage.recipe)) is None:
        time.sleep(0.2)
    return found


def prefetch_models(study: Study, runtime: Runtime) -> None:
    """Brings every model that the study names to this disk: fingerprints are of weights, and need them."""
    for model in required_models(study):
        if compute_model_hash(model) is None:
            resolve_weights(model, runtime.notify)


def preflight_scorers(study: Study, runtime: Runtime) -> None:
    """Raises `ModelError` where a scorer's model gives no reward or an encoder is not at hand, before anything is trained."""
    asked = {f"scorers.{name}": scorer for name, scorer in study.scorers.items()}
    for place, each in (asked | {"response_similarity": study.response_similarity}).items():
        if isinstance(each, HasPreflight):
            try:
                each.preflight(runtime)
            except ModelError as error:
                raise ModelError(f"{place}: {error}") from error


def preflight_engines(study: Study, plan: Plan, store: Store, runtime: Runtime) -> None:
    """Raises `EngineError` where a model that is still to be asked cannot be, before anything is trained.

    What has been labeled or judged needs none any more: a finished run can be run again when its servers are gone.
    """
    asking = {f"arms.{name}.annotator": ("annotator", arm.annotator) for name, arm in study.arms.items()}
    asking |= {f"judges.{name}": ("judge", judge) for name, judge in study.judges.items()}
    old = {stage.recipe.fingerprint for stage in find_stale_stages(plan.stages, store)}
    left = [
        stage.settings
        for stage in plan.stages
        if stage.recipe.fingerprint in old or store.find(stage.name, stage.recipe) is None
    ]
    done: list[EngineConfig] = []
    for place, (role, component) in asking.items():
        if any(settings.get(role) == identity_settings(component) for settings in left):
            for name, engine in list_engine_configs(component).items():
                if engine not in done and isinstance(engine, HasPreflight):
                    # the name by which an engine is given need not be that of a setting
                    part = f".{name}" if name in type(component).model_fields else ""
                    _preflight_engine(f"{place}{part}", engine, runtime)
                    done.append(engine)


def _preflight_engine(place: str, engine: HasPreflight, runtime: Runtime) -> None:
    try:
        engine.preflight(runtime)
    except EngineError as error:
        raise EngineError(f"{place}: {error}") from error


def require_labeled_pairs(plan: Plan, split: Artifact) -> None:
    """Raises `DataError` where arms learn from the labeled pairs and too few have a human label, before anything is trained."""
    count = split.record["facts"]["human_labeled"]["labeled"]
    if plan.supervised_arms and count < MIN_CROSS_FIT_PAIRS:
        raise DataError(
            f"arms.{plan.supervised_arms[0]}: it learns from the labeled pairs, of which {count} have a human label, expected "
            f"{MIN_CROSS_FIT_PAIRS} or more; label more of them, or let the split give this side more"
        )


def has_human_labels_on_unlabeled(split: Artifact) -> bool:
    """Whether every unlabeled pair has a human label: then arms that need them can be run."""
    facts = split.record["facts"]
    return bool(facts["human_labeled"]["unlabeled"] == facts["pairs"]["unlabeled"])


def execute_stages(
    stages: Sequence[Stage],
    store: Store,
    runtime: Runtime,
    artifacts: dict[str, Artifact],
    on_stage_start: Callable[[int, int, str], None],
    on_stage_created: Callable[[str], None] = lambda _: None,
) -> None:
    """Makes those stages that are not in the store, or were made from labels that are not there any more, and adds all to
    `artifacts`, by fingerprint; `note` is told of each folder that was not there before."""
    for stage in find_stale_stages(stages, store):
        runtime.notify(f"{stage.name} was made from labels that are not there any more, and is made anew")
        store.discard(stage.name, stage.recipe)
    for place, stage in enumerate(stages, 1):
        key = stage.recipe.fingerprint
        if key in artifacts:
            continue
        found = store.find(stage.name, stage.recipe)
        if found is None:
            on_stage_start(place, len(stages), stage.name)
            found = store.get_or_create(stage.name, stage.recipe, _bind_inputs(stage, artifacts, runtime))
            gc.collect()  # a trainer and its model refer to one another; the next stage needs the memory
            on_stage_created(found.folder.name)
        artifacts[key] = found


def _bind_inputs(stage: Stage, artifacts: dict[str, Artifact], runtime: Runtime) -> Callable[[Draft], Any]:
    inputs = {name: artifacts[need.recipe.fingerprint] for name, need in stage.input_stages.items()}
    return lambda draft: stage.execute(draft, inputs, runtime)


def _write_label_files(plan: Plan, artifacts: dict[str, Artifact], folder: Path) -> None:
    """`labels/ARM.parquet`: one row a pair, for people and programs outside the study."""
    pairs = {pair.id: pair for pair in load_split_pairs(artifacts[plan.split.recipe.fingerprint], "unlabeled")}
    for arm in plan.rows:
        if arm.labels is None:
            continue
        artifact = artifacts[arm.labels.recipe.fingerprint]
        seconds = _label_seconds(arm.labels, artifacts) / max(1, len(pairs))
        weights = " ".join(need.recipe.fingerprint for name, need in arm.labels.input_stages.items() if name != "split")
        rows = [
            {
                "id": key,
                "p_a": each.p_a,
                "margin": each.margin,
                "status": each.status,
                "annotator": arm.annotator,
                "weights": weights,
                "prompt_hash": pairs[key].prompt_id,
                "tokens": each.cost.prompt_tokens + each.cost.generated_tokens,
                "seconds": max(seconds, each.cost.seconds),
            }
            for key, each in load_annotations(artifact).items()
        ]
        (folder / "labels").mkdir(exist_ok=True)
        Draft(folder=folder / "labels").write_rows(arm.name, rows, LABEL_SCHEMA)


def _label_seconds(labels: Stage, artifacts: dict[str, Artifact]) -> float:
    """What the labels took: their own stages and the tables that were read for them, training not counted."""
    chain = [labels]
    while chain[-1].kind in ("filter", "calibrate"):
        chain.append(chain[-1].input_stages["labels"])
    tables = [need for need in chain[-1].input_stages.values() if need.kind in TABLE_KINDS]
    return sum(float(artifacts[each.recipe.fingerprint].record["seconds"]) for each in (*chain, *tables))


def _build_index(study: Study, plan: Plan, store: Store, created: Sequence[str]) -> RunIndex:
    folders = _folder_names(plan, store)

    def names(stages: Mapping[str, Stage]) -> dict[str, str]:
        return {key: folders[stage.recipe.fingerprint] for key, stage in stages.items()}

    return RunIndex(
        trimtab_version=version("trimtab"),
        study=study.name,
        split=folders[plan.split.recipe.fingerprint],
        rows=tuple(_build_row_index(row, folders) for row in plan.rows),
        test_rewards=names(plan.test_rewards),
        unlabeled_rewards=names(plan.unlabeled_rewards),
        embeddings=names(plan.embeddings),
        kl_to_reference=names(plan.kl_to_reference),
        ood_eval={
            row: {domain: names(parts) for domain, parts in domains.items()} for row, domains in plan.ood_eval.items()
        },
        baseline=plan.baseline,
        human_verdicts=names(plan.human_verdicts),
        stages=tuple(folders.values()),
        preference_models=_preference_model_folders(plan, folders),
        created=tuple(created),
    )


def _build_row_index(row: RowStages, folders: Mapping[str, str]) -> RowIndex:
    stages = {part: stage for part in ROW_STAGES if (stage := getattr(row, part)) is not None}
    return RowIndex(
        name=row.name,
        description=row.description,
        annotator=row.annotator,
        skipped=row.skipped,
        scores={scorer: folders[stage.recipe.fingerprint] for scorer, stage in row.scores.items()},
        verdicts={judge: folders[stage.recipe.fingerprint] for judge, stage in row.verdicts.items()},
        **{part: folders[stage.recipe.fingerprint] for part, stage in stages.items()},
    )


def _folder_names(plan: Plan, store: Store) -> dict[str, str]:
    """The folder's name of every recipe of the plan, made already or not."""
    found: dict[str, str] = {}
    for stage in (plan.split, *plan.stages):
        if stage.recipe.fingerprint not in found:
            there = store.find(stage.name, stage.recipe)
            folder = there.folder if there else store.folder(stage.name, stage.recipe)
            found[stage.recipe.fingerprint] = folder.name
    return found


def _preference_model_folders(plan: Plan, folders: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The folders of preference models by stage name. Arms can share a folder under different names."""
    found: dict[str, list[str]] = {}
    for stage in plan.preference_models:
        named = found.setdefault(stage.name, [])
        if folders[stage.recipe.fingerprint] not in named:
            named.append(folders[stage.recipe.fingerprint])
    return {name: tuple(named) for name, named in found.items()}
