"""What a study will do, before it does it: which stages are there, which will be made and why, and about how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trimtab.config.study import Study
from trimtab.models.references import NOT_DOWNLOADED
from trimtab.pipeline.dry_run.cache_miss_reason import explain_cache_miss
from trimtab.pipeline.dry_run.offline_sources import replace_unreachable_sources
from trimtab.pipeline.dry_run.time_estimates import TimeEstimator
from trimtab.pipeline.plan import build_plan
from trimtab.pipeline.preflight import has_human_labels_on_unlabeled
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stale_stages import find_stale_stages
from trimtab.storage.artifacts import Artifact, Store, open_artifact

StageState = Literal["done", "resume", "to run", "skipped"]
REASON_STALE = "its labels are asked for anew"
REASON_RESUME = "goes on from where it stopped"
REASON_WEIGHTS_MISSING = "weights are fetched first"
REASON_DATA_MISSING = "data is fetched first"
REASON_DATA_AND_WEIGHTS_MISSING = "data and weights are fetched first"


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage, or one arm that is skipped. `why` is empty for what is done; `about` is `seconds` in words, or `?`.

    `seconds` is an estimate, None where there is nothing to run or nothing to estimate from.
    """

    stage: str
    state: StageState
    reason: str = ""
    duration: str = ""
    seconds: float | None = None


def plan_dry_run(study: Study, folder: Path) -> list[PlannedStage]:
    """A row a stage in the order in which they are made, then one for each arm that is left out. Only reads."""
    store = Store(folder)
    known = replace_unreachable_sources(study)
    plan = build_plan(known)
    split = store.find(plan.split.name, plan.split.recipe)
    if split is not None and not has_human_labels_on_unlabeled(split):
        plan = build_plan(known, human_on_unlabeled=False)
    finished = _load_finished(folder)
    estimates = TimeEstimator(study, split, [artifact.record for artifact in finished])
    newest = {str(artifact.record["name"]): artifact.record for artifact in finished}
    old = {stage.recipe.fingerprint for stage in find_stale_stages(plan.stages, store)}
    stages = [
        _stale_stage(stage, estimates)
        if stage.recipe.fingerprint in old
        else _planned_stage(stage, store, newest.get(stage.name), estimates)
        for stage in plan.stages
    ]
    return stages + [
        PlannedStage(arm.name, "skipped", arm.skipped) for arm in plan.rows if arm.skipped and arm.labels is None
    ]


def format_estimate(seconds: float | None) -> str:
    """`under 1 s`, `about 40 s`, `about 12 min`, `about 1.7 h`; `?` where it is not known. Two digits at most."""
    if seconds is None:
        return "?"
    if seconds < 1:
        return "under 1 s"
    unit, size = ("s", 1) if seconds < 90 else ("min", 60) if seconds < 90 * 60 else ("h", 3600)
    return f"about {float(f'{seconds / size:.2g}'):g} {unit}"


def _stale_stage(stage: Stage, estimates: TimeEstimator) -> PlannedStage:
    seconds = estimates.estimate_seconds(stage)
    return PlannedStage(stage.name, "to run", REASON_STALE, format_estimate(seconds), seconds)


def _planned_stage(
    stage: Stage, store: Store, before: Mapping[str, Any] | None, estimates: TimeEstimator
) -> PlannedStage:
    if store.find(stage.name, stage.recipe) is not None:
        return PlannedStage(stage.name, "done")
    seconds = estimates.estimate_seconds(stage)
    if store.folder(stage.name, stage.recipe).is_dir():
        return PlannedStage(stage.name, "resume", REASON_RESUME, format_estimate(seconds), seconds)
    why = _missing_downloads(stage) or ("new" if before is None else explain_cache_miss(stage, before))
    return PlannedStage(stage.name, "to run", why, format_estimate(seconds), seconds)


def _missing_downloads(stage: Stage) -> str:
    """What must be fetched before the stage can be identified: then what else changed cannot be told yet."""
    named = {name.partition(".")[0] for name in _iter_unfetched([stage])}
    if "source" in named:
        return REASON_DATA_AND_WEIGHTS_MISSING if named - {"source"} else REASON_DATA_MISSING
    return REASON_WEIGHTS_MISSING if named else ""


def _iter_unfetched(stages: Iterable[Stage]) -> Iterator[str]:
    """The inputs that are known by name alone, of these stages and of all that they need."""
    for stage in stages:
        yield from (name for name, value in stage.external_hashes.items() if value.startswith(NOT_DOWNLOADED))
        yield from _iter_unfetched(stage.input_stages.values())


def _load_finished(folder: Path) -> list[Artifact]:
    """The finished stages of a run's folder, oldest first."""
    found = [open_artifact(record.parent) for record in (folder / "stages").glob("*/record.json")]
    return sorted(found, key=lambda artifact: str(artifact.record["finished_at"]))
