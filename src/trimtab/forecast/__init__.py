"""What a study will do, before it does it: which stages are there, which will be made and why, and about how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trimtab.forecast.differences import difference
from trimtab.forecast.estimates import Estimates
from trimtab.forecast.unfetched import within_reach
from trimtab.plan import unfold
from trimtab.run import human_on_unlabeled
from trimtab.stages.anew import outdated
from trimtab.stages.stage import Stage
from trimtab.store import Artifact, Store, open_artifact
from trimtab.study import Study

State = Literal["done", "resume", "to run", "skipped"]
ANEW = "its labels are asked for anew"
RESUMES = "goes on from where it stopped"
FETCHES = "weights are fetched first"
FETCHES_DATA = "data is fetched first"
FETCHES_BOTH = "data and weights are fetched first"


@dataclass(frozen=True, slots=True)
class Row:
    """One stage, or one arm that is skipped. `why` is empty for what is done; `about` is `seconds` in words, or `?`.

    `seconds` is an estimate, None where there is nothing to run or nothing to estimate from.
    """

    stage: str
    state: State
    why: str = ""
    about: str = ""
    seconds: float | None = None


def forecast(study: Study, folder: Path) -> list[Row]:
    """A row a stage in the order in which they are made, then one for each arm that is left out. Only reads."""
    store = Store(folder)
    known = within_reach(study)
    plan = unfold(known)
    split = store.find(plan.split.name, plan.split.recipe)
    if split is not None and not human_on_unlabeled(split):
        plan = unfold(known, human_on_unlabeled=False)
    finished = _finished(folder)
    estimates = Estimates(study, split, [artifact.record for artifact in finished])
    newest = {str(artifact.record["name"]): artifact.record for artifact in finished}
    old = {stage.recipe.fingerprint for stage in outdated(plan.stages, store)}
    stages = [
        _anew(stage, estimates)
        if stage.recipe.fingerprint in old
        else _row(stage, store, newest.get(stage.name), estimates)
        for stage in plan.stages
    ]
    return stages + [Row(arm.name, "skipped", arm.skipped) for arm in plan.arms if arm.skipped and arm.labels is None]


def about(seconds: float | None) -> str:
    """`under 1 s`, `about 40 s`, `about 12 min`, `about 1.7 h`; `?` where it is not known. Two digits at most."""
    if seconds is None:
        return "?"
    if seconds < 1:
        return "under 1 s"
    unit, size = ("s", 1) if seconds < 90 else ("min", 60) if seconds < 90 * 60 else ("h", 3600)
    return f"about {float(f'{seconds / size:.2g}'):g} {unit}"


def _anew(stage: Stage, estimates: Estimates) -> Row:
    seconds = estimates.seconds(stage)
    return Row(stage.name, "to run", ANEW, about(seconds), seconds)


def _row(stage: Stage, store: Store, before: Mapping[str, Any] | None, estimates: Estimates) -> Row:
    if store.find(stage.name, stage.recipe) is not None:
        return Row(stage.name, "done")
    seconds = estimates.seconds(stage)
    if store.folder(stage.name, stage.recipe).is_dir():
        return Row(stage.name, "resume", RESUMES, about(seconds), seconds)
    why = _awaited(stage) or ("new" if before is None else difference(stage, before))
    return Row(stage.name, "to run", why, about(seconds), seconds)


def _awaited(stage: Stage) -> str:
    """What must be fetched before the stage can be identified: then what else changed cannot be told yet."""
    named = {name.partition(".")[0] for name in _unfetched([stage])}
    if "source" in named:
        return FETCHES_BOTH if named - {"source"} else FETCHES_DATA
    return FETCHES if named else ""


def _unfetched(stages: Iterable[Stage]) -> Iterator[str]:
    """The inputs that are known by name alone, of these stages and of all that they need."""
    for stage in stages:
        yield from (name for name, value in stage.identities.items() if value.startswith("unfetched:"))
        yield from _unfetched(stage.needs.values())


def _finished(folder: Path) -> list[Artifact]:
    """The finished stages of a run's folder, oldest first."""
    found = [open_artifact(record.parent) for record in (folder / "stages").glob("*/record.json")]
    return sorted(found, key=lambda artifact: str(artifact.record["finished"]))
