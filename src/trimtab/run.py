"""Carrying a plan out: stage by stage, each made once, and an index of where everything lies."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from trimtab.errors import DataError, EngineError, ModelError, StoreError
from trimtab.lm.weights import identity, resolve
from trimtab.plan import ArmStages, Plan, named_models, unfold
from trimtab.protocols import Checked, Runtime, Startable
from trimtab.stages.anew import outdated
from trimtab.stages.engines import engines_of
from trimtab.stages.held_out import FEWEST
from trimtab.stages.stage import TABLES, TRAINING, Stage, told
from trimtab.stages.tables import annotations_of, pairs_of
from trimtab.store import Artifact, Draft, Store, write_whole
from trimtab.study import Study

INDEX = "run.json"
LABELS = pa.schema(
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
class Outcome:
    """Where a run's results lie, and how many of its stages were made now."""

    folder: Path
    made: tuple[str, ...]
    kept: tuple[str, ...]
    seconds: float


def run(study: Study, folder: Path, runtime: Runtime, began: Callable[[int, int, str], None]) -> Outcome:
    """Makes what is not there yet and writes the index; `began(place, total, name)` is told of each stage that is made.

    Run again after a kill, it goes on from where it stopped. Raises `StoreError` where another run holds the folder.
    """
    store = Store(folder)
    start = time.monotonic()
    if not runtime.leads:
        return follow(study, store, runtime)
    with store.hold():
        write_whole(folder / "study.yaml", study.to_yaml())
        fetch(study, runtime)
        check_scorers(study, runtime)
        artifacts: dict[str, Artifact] = {}
        made: list[str] = []
        plan = unfold(study)

        def note(*names: str) -> None:
            """The index says from the beginning what there will be, so that a run that was killed can be reported on."""
            made.extend(names)
            write_whole(folder / INDEX, json.dumps(_index(study, plan, store, made), indent=1, ensure_ascii=False))

        note()
        make([plan.split], store, runtime, artifacts, began, note)
        plan = unfold(study, human_on_unlabeled=human_on_unlabeled(artifacts[plan.split.recipe.fingerprint]))
        check_labeled(plan, artifacts[plan.split.recipe.fingerprint])
        check_engines(study, plan, store, runtime)
        note()
        make(plan.stages, store, runtime, artifacts, began, note)
        _write_labels(plan, artifacts, folder)
        names = tuple(artifact.folder.name for artifact in artifacts.values())
    kept = tuple(name for name in names if name not in made)
    return Outcome(folder=folder, made=tuple(made), kept=kept, seconds=time.monotonic() - start)


def follow(study: Study, store: Store, runtime: Runtime) -> Outcome:
    """What a process that does not lead does: its share of the training, waiting for all the rest to be made."""
    fetch(study, runtime)
    split = unfold(study).split
    artifacts = {split.recipe.fingerprint: _awaited(split, store)}
    plan = unfold(study, human_on_unlabeled=human_on_unlabeled(artifacts[split.recipe.fingerprint]))
    for stage in plan.stages:
        key = stage.recipe.fingerprint
        if key not in artifacts:
            if stage.kind in TRAINING and store.find(stage.name, stage.recipe) is None:
                _work(stage, artifacts, runtime)(Draft(folder=store.folder(stage.name, stage.recipe)))
            artifacts[key] = _awaited(stage, store)
    return Outcome(folder=store.root, made=(), kept=(), seconds=0.0)


def _awaited(stage: Stage, store: Store) -> Artifact:
    while (found := store.find(stage.name, stage.recipe)) is None:
        time.sleep(0.2)
    return found


def fetch(study: Study, runtime: Runtime) -> None:
    """Brings every model that the study names to this disk: fingerprints are of weights, and need them."""
    for model in named_models(study):
        if identity(model) is None:
            resolve(model, runtime.notify)


def check_scorers(study: Study, runtime: Runtime) -> None:
    """Raises `ModelError` where a scorer's model gives no reward or an encoder is not at hand, before anything is trained."""
    asked = {f"evaluation.{name}": scorer for name, scorer in study.evaluation.items()}
    for place, each in (asked | {"similarity": study.similarity}).items():
        if isinstance(each, Checked):
            try:
                each.check(runtime)
            except ModelError as error:
                raise ModelError(f"{place}: {error}") from error


def check_engines(study: Study, plan: Plan, store: Store, runtime: Runtime) -> None:
    """Raises `EngineError` where a model that is still to be asked cannot be, before anything is trained.

    What has been labeled or judged needs none any more: a finished run can be run again when its servers are gone.
    """
    asking = {f"arms.{name}.annotator": ("annotator", arm.annotator) for name, arm in study.arms.items()}
    asking |= {f"judges.{name}": ("judge", judge) for name, judge in study.judges.items()}
    old = {stage.recipe.fingerprint for stage in outdated(plan.stages, store)}
    left = [
        stage.settings
        for stage in plan.stages
        if stage.recipe.fingerprint in old or store.find(stage.name, stage.recipe) is None
    ]
    done: list[Startable] = []
    for place, (role, component) in asking.items():
        if any(settings.get(role) == told(component) for settings in left):
            for name, engine in engines_of(component).items():
                if engine not in done and isinstance(engine, Checked):
                    # the name by which an engine is given need not be that of a setting
                    part = f".{name}" if name in type(component).model_fields else ""
                    _check_engine(f"{place}{part}", engine, runtime)
                    done.append(engine)


def _check_engine(place: str, engine: Checked, runtime: Runtime) -> None:
    try:
        engine.check(runtime)
    except EngineError as error:
        raise EngineError(f"{place}: {error}") from error


def check_labeled(plan: Plan, split: Artifact) -> None:
    """Raises `DataError` where arms learn from the labeled pairs and too few have a human label, before anything is trained."""
    count = split.record["facts"]["with_human"]["labeled"]
    if plan.learning and count < FEWEST:
        raise DataError(
            f"arms.{plan.learning[0]}: it learns from the labeled pairs, of which {count} have a human label, expected "
            f"{FEWEST} or more; label more of them, or let the split give this side more"
        )


def human_on_unlabeled(split: Artifact) -> bool:
    """Whether every unlabeled pair has a human label: then arms that need them can be run."""
    facts = split.record["facts"]
    return bool(facts["with_human"]["unlabeled"] == facts["pairs"]["unlabeled"])


def make(
    stages: Sequence[Stage],
    store: Store,
    runtime: Runtime,
    artifacts: dict[str, Artifact],
    began: Callable[[int, int, str], None],
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Makes those stages that are not in the store, or were made from labels that are not there any more, and adds all to
    `artifacts`, by fingerprint; `note` is told of each folder that was not there before."""
    for stage in outdated(stages, store):
        runtime.notify(f"{stage.name} was made from labels that are not there any more, and is made anew")
        store.forget(stage.name, stage.recipe)
    for place, stage in enumerate(stages, 1):
        key = stage.recipe.fingerprint
        if key in artifacts:
            continue
        found = store.find(stage.name, stage.recipe)
        if found is None:
            began(place, len(stages), stage.name)
            found = store.find_or_make(stage.name, stage.recipe, _work(stage, artifacts, runtime))
            gc.collect()  # a trainer and its model refer to one another; the next stage needs the memory
            note(found.folder.name)
        artifacts[key] = found


def _work(stage: Stage, artifacts: dict[str, Artifact], runtime: Runtime) -> Callable[[Draft], Any]:
    inputs = {name: artifacts[need.recipe.fingerprint] for name, need in stage.needs.items()}
    return lambda draft: stage.make(draft, inputs, runtime)


def _write_labels(plan: Plan, artifacts: dict[str, Artifact], folder: Path) -> None:
    """`labels/ARM.parquet`: one row a pair, for people and programs outside the study."""
    pairs = {pair.id: pair for pair in pairs_of(artifacts[plan.split.recipe.fingerprint], "unlabeled")}
    for arm in plan.arms:
        if arm.labels is None:
            continue
        artifact = artifacts[arm.labels.recipe.fingerprint]
        seconds = _label_seconds(arm.labels, artifacts) / max(1, len(pairs))
        weights = " ".join(need.recipe.fingerprint for name, need in arm.labels.needs.items() if name != "split")
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
            for key, each in annotations_of(artifact).items()
        ]
        (folder / "labels").mkdir(exist_ok=True)
        Draft(folder=folder / "labels").write_rows(arm.name, rows, LABELS)


def _label_seconds(labels: Stage, artifacts: dict[str, Artifact]) -> float:
    """What the labels took: their own stages and the tables that were read for them, training not counted."""
    chain = [labels]
    while chain[-1].kind in ("filter", "calibrate"):
        chain.append(chain[-1].needs["labels"])
    tables = [need for need in chain[-1].needs.values() if need.kind in TABLES]
    return sum(float(artifacts[each.recipe.fingerprint].record["seconds"]) for each in (*chain, *tables))


def _index(study: Study, plan: Plan, store: Store, made: Sequence[str]) -> dict[str, Any]:
    names = _folders(plan, store)

    def name(stage: Stage | None) -> str | None:
        return None if stage is None else names[stage.recipe.fingerprint]

    def arm(each: ArmStages) -> dict[str, Any]:
        parts = ("labels", "training", "policy", "reference", "completions", "predictions")
        stages = {part: name(getattr(each, part)) for part in parts}
        scores = {scorer: name(stage) for scorer, stage in each.scores.items()}
        verdicts = {judge: name(stage) for judge, stage in each.verdicts.items()}
        told = {
            "name": each.name,
            "description": each.description,
            "annotator": each.annotator,
            "skipped": each.skipped,
        }
        return {**told, **stages, "scores": scores, "verdicts": verdicts}

    return {
        "trimtab": version("trimtab"),
        "study": study.name,
        "split": name(plan.split),
        "arms": [arm(each) for each in plan.arms],
        "rewards": {scorer: name(stage) for scorer, stage in plan.rewards.items()},
        "label_rewards": {scorer: name(stage) for scorer, stage in plan.label_rewards.items()},
        "vectors": {row: name(stage) for row, stage in plan.vectors.items()},
        "divergences": {row: name(stage) for row, stage in plan.divergences.items()},
        "elsewhere": {
            row: {domain: {part: name(stage) for part, stage in parts.items()} for domain, parts in domains.items()}
            for row, domains in plan.elsewhere.items()
        },
        "against": plan.against,
        "people": {judge: name(stage) for judge, stage in plan.people.items()},
        "stages": list(names.values()),
        "choosers": _choosers(plan, names),
        "made": list(made),
    }


def _folders(plan: Plan, store: Store) -> dict[str, str]:
    """The folder's name of every recipe of the plan, made already or not."""
    found: dict[str, str] = {}
    for stage in (plan.split, *plan.stages):
        if stage.recipe.fingerprint not in found:
            there = store.find(stage.name, stage.recipe)
            folder = there.folder if there else store.folder(stage.name, stage.recipe)
            found[stage.recipe.fingerprint] = folder.name
    return found


def _choosers(plan: Plan, names: Mapping[str, str]) -> dict[str, list[str]]:
    """The folders of those that learned to choose, by every name that the plan has for them: arms may share one."""
    found: dict[str, list[str]] = {}
    for stage in plan.choosers:
        folders = found.setdefault(stage.name, [])
        if names[stage.recipe.fingerprint] not in folders:
            folders.append(names[stage.recipe.fingerprint])
    return found


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a run: the folders of all its stages, of which those that are finished hold a record.

    Raises `StoreError` where there is none.
    """
    path = folder / INDEX
    if not path.is_file():
        raise StoreError(
            f"{folder} holds no finished run (no {INDEX}); run the study first: trimtab run STUDY.yaml --out {folder}"
        )
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
