"""A dry run: which stages a study has, which of them will run and why, and about how long each takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trimtab.config.study import Study
from trimtab.config.training import TrainingSettings
from trimtab.models.references import NOT_DOWNLOADED
from trimtab.pipeline.dry_run.cache_miss_reason import explain_cache_miss
from trimtab.pipeline.dry_run.offline_sources import replace_unreachable_sources
from trimtab.pipeline.dry_run.time_estimates import TimeEstimator
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.preflight import has_human_labels_on_unlabeled
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stale_stages import find_stale_stages
from trimtab.storage.artifacts import Artifact, Store, open_artifact
from trimtab.storage.shared_store import SharedStore, compute_content_id

StageState = Literal["done", "shared", "resume", "to run", "skipped"]
REASON_NEW = "new"
REASON_STALE = "its labels are regenerated"
REASON_RESUME = "resumes"
REASON_EARLIER_STUDY = "made for an earlier study"
REASON_WEIGHTS_MISSING = "fetches weights first"
REASON_DATA_MISSING = "fetches data first"
REASON_DATA_AND_WEIGHTS_MISSING = "fetches data and weights first"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage, or one arm that is skipped.

    `reason` is empty if the stage is done. `seconds` is an estimate; None if no stage has to run, or if there are no
    measurements to estimate from. `duration` is the estimate in words, or `?`. The state `shared` means that the stage is
    copied from a shared store. If the stage has to train, `training` has its settings, and `model_hash` is the content hash of
    the published model below.
    """

    stage: str
    state: StageState
    reason: str = ""
    duration: str = ""
    seconds: float | None = None
    fingerprint: str = ""
    training: TrainingSettings | None = None
    model_hash: str = ""


def plan_dry_run(
    study: Study, folder: Path, shared: SharedStore | None = None, planned: Collection[str] = ()
) -> list[PlannedStage]:
    """All stages in execution order, then the arms that are skipped. Only reads the folders.

    `planned` are the fingerprints of stages that the shared store will have before this study runs.
    """
    store = Store(folder)
    reachable = replace_unreachable_sources(study)
    plan = build_plan(reachable)
    found = _find_shared(plan.stages, store, shared)
    split = store.find(plan.split.name, plan.split.recipe) or found.get(plan.split.fingerprint)
    if split is not None and not has_human_labels_on_unlabeled(split):
        plan = build_plan(reachable, human_on_unlabeled=False)
    finished = _load_finished(folder)
    measured = [*(_load_finished(shared.root) if shared else ()), *finished]
    estimator = TimeEstimator(study, split, [artifact.record for artifact in measured])
    newest = {artifact.folder.name.rpartition("-")[0]: artifact.record for artifact in finished}
    stale = {stage.fingerprint for stage in find_stale_stages(plan.stages, store)}
    stages = [
        _to_run(stage, REASON_STALE, estimator)
        if stage.fingerprint in stale
        else _from_shared(stage, shared, found, planned)
        or _planned_stage(stage, store, newest.get(stage.name), estimator)
        for stage in plan.stages
    ]
    skipped = [PlannedStage(row.name, "skipped", row.skipped) for row in plan.rows if row.skipped and not row.labels]
    return stages + skipped


def _find_shared(stages: Sequence[Stage], store: Store, shared: SharedStore | None) -> dict[str, Artifact]:
    """The artifacts in the shared store that the run does not have, by fingerprint."""
    found: dict[str, Artifact] = {}
    contents: dict[str, str | None] = {}
    for stage in stages if shared else ():
        artifact = store.find(stage.name, stage.recipe)
        if artifact is None and shared is not None:
            inputs = {name: contents[source.fingerprint] for name, source in stage.input_stages.items()}
            folder = shared.find(stage.recipe, inputs)
            artifact = None if folder is None else found.setdefault(stage.fingerprint, open_artifact(folder))
        contents[stage.fingerprint] = None if artifact is None else compute_content_id(artifact.record)
    return found


def _from_shared(
    stage: Stage, shared: SharedStore | None, found: Mapping[str, Artifact], planned: Collection[str]
) -> PlannedStage | None:
    if shared is not None and stage.fingerprint in found:
        return PlannedStage(stage.name, "shared", f"from {shared.root}", fingerprint=stage.fingerprint)
    if stage.fingerprint in planned:
        return PlannedStage(stage.name, "shared", REASON_EARLIER_STUDY, fingerprint=stage.fingerprint)
    return None


def format_estimate(seconds: float | None) -> str:
    """`under 1 s`, `about 40 s`, `about 12 min`, `about 1.7 h`, with at most two digits; `?` if unknown."""
    if seconds is None:
        return "?"
    if seconds < 1:
        return "under 1 s"
    unit, size = ("s", 1) if seconds < 90 else ("min", 60) if seconds < 90 * 60 else ("h", 3600)
    return f"about {float(f'{seconds / size:.2g}'):g} {unit}"


def _planned_stage(
    stage: Stage, store: Store, newest_record: Mapping[str, Any] | None, estimator: TimeEstimator
) -> PlannedStage:
    if store.find(stage.name, stage.recipe) is not None:
        return PlannedStage(stage.name, "done", fingerprint=stage.fingerprint)
    if store.folder(stage.name, stage.recipe).is_dir():
        return _to_run(stage, REASON_RESUME, estimator, state="resume")
    reason = _missing_downloads(stage)
    if not reason:
        reason = REASON_NEW if newest_record is None else explain_cache_miss(stage, newest_record)
    return _to_run(stage, reason, estimator)


def _to_run(stage: Stage, reason: str, estimator: TimeEstimator, state: StageState = "to run") -> PlannedStage:
    seconds = estimator.estimate_seconds(stage)
    return PlannedStage(
        stage.name,
        state,
        reason,
        format_estimate(seconds),
        seconds,
        stage.fingerprint,
        stage.training,
        stage.model_hash if stage.training else "",
    )


def _missing_downloads(stage: Stage) -> str:
    """What must be downloaded before the stage has a final fingerprint; until then other changes cannot be identified."""
    inputs = {name.partition(".")[0] for name in _iter_not_downloaded([stage])}
    if "source" in inputs:
        return REASON_DATA_AND_WEIGHTS_MISSING if inputs - {"source"} else REASON_DATA_MISSING
    return REASON_WEIGHTS_MISSING if inputs else ""


def _iter_not_downloaded(stages: Iterable[Stage]) -> Iterator[str]:
    """The names of inputs that are not downloaded, of these stages and of all their inputs."""
    for stage in stages:
        yield from (name for name, value in stage.external_hashes.items() if value.startswith(NOT_DOWNLOADED))
        yield from _iter_not_downloaded(stage.input_stages.values())


def _load_finished(folder: Path) -> list[Artifact]:
    """The finished stages in the folder of a run, oldest first."""
    artifacts = [open_artifact(record.parent) for record in (folder / "stages").glob("*/record.json")]
    return sorted(artifacts, key=lambda artifact: str(artifact.record["finished_at"]))
