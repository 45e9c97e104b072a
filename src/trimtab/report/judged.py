"""From a run's folders to what its judges said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.components import Component, kind_of
from trimtab.report.folder import Run
from trimtab.report.judges import (
    ANSWERS,
    PAIRS,
    Clusters,
    JudgeInfo,
    RaterAgreement,
    Verdicts,
    agreements,
    first_named,
    judged_row,
    order_flips,
    steadiness,
    total_cost,
    warnings,
    with_people,
)
from trimtab.report.side_effects import beliefs
from trimtab.stages.tables import completions_of
from trimtab.stages.verdicts import verdicts_of
from trimtab.types import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The judges of a run, and how far they agree with one another and with people."""

    judges: tuple[JudgeInfo, ...] = ()
    agreements: tuple[RaterAgreement, ...] = ()


def judged(run: Run) -> Judged:
    """What there is of it: a judge whose verdicts are not there yet is left out."""
    if not run.study.judges:
        return Judged()
    rows = {name: _rows(run, name) for name in run.study.judges}
    people = {name: _people(run, name) for name in run.study.judges}
    human = {pair.id: pair.human for pair in run.test if pair.human is not None}
    leads, parts = _leads(run), _parts(run, human)
    found = tuple(
        _info(name, judge, str(run.index["against"]), rows[name], people[name], leads, human, run.prompts, parts)
        for name, judge in run.study.judges.items()
        if rows[name] or people[name]
    )
    return Judged(judges=found, agreements=(*_on_answers(rows), *_on_pairs(people, human, run.prompts)))


def _info(
    name: str,
    judge: Component,
    against: str,
    rows: Mapping[str, Verdicts],
    people: Verdicts,
    leads: Mapping[str, Mapping[str, float]],
    human: Mapping[str, Choice],
    prompts: Clusters,
    parts: Mapping[str, set[str]],
) -> JudgeInfo:
    every = {f"{row}/{key}": each for row, verdicts in rows.items() for key, each in verdicts.items()} | dict(people)
    clusters = {**prompts, **{key: key.rpartition("/")[2] for key in every if "/" in key}}
    figures = {"order_flips": order_flips(every, clusters), "first_named": first_named(every, clusters)}
    figures |= steadiness(every, clusters)
    if people:
        figures |= with_people(people, human, prompts)
    for part, keys in parts.items():
        some = {key: each for key, each in people.items() if key in keys}
        told = {"order_flips": order_flips(some, prompts), **steadiness(some, prompts)} if some else {}
        figures |= {f"{figure}.{part}": metric for figure, metric in told.items()}
    failed = sum(each.outcome == "failed" for each in every.values())
    return JudgeInfo(
        name=name,
        engine=_engine(judge),
        against=against,
        rows={row: judged_row(verdicts, leads[row]) for row, verdicts in rows.items()},
        figures=figures,
        warnings=warnings(name, figures, failed, len(every)),
        cost=total_cost([every]),
    )


def _parts(run: Run, human: Mapping[str, Choice]) -> dict[str, set[str]]:
    """The test pairs on which the weak model prefers what people do, and those on which it does not (Tao & Li, table 5)."""
    weak = next((beliefs(run, arm) for arm in run.arms if arm["name"] == "weak_model"), {})
    told = {key: (p > 0.5) == (human[key] == "a") for key, p in weak.items() if key in human and p != 0.5}
    sides = {
        "match": {key for key, same in told.items() if same},
        "mismatch": {key for key, same in told.items() if not same},
    }
    return {part: keys for part, keys in sides.items() if keys}


def _rows(run: Run, judge: str) -> dict[str, Verdicts]:
    """A judge's verdicts on each row's answers, by prompt."""
    stages = {arm["name"]: arm.get("verdicts", {}).get(judge) for arm in run.arms}
    return {row: verdicts_of(run.artifact(stage)) for row, stage in stages.items() if stage and run.finished(stage)}


def _people(run: Run, judge: str) -> Verdicts:
    stage = run.index.get("people", {}).get(judge)
    return verdicts_of(run.artifact(stage)) if stage and run.finished(stage) else {}


def _leads(run: Run) -> dict[str, dict[str, float]]:
    """How many tokens longer each row's answer is than the one that it was compared with, by prompt."""
    lengths = {
        arm["name"]: {each.prompt_id: each.n_tokens for each in completions_of(run.artifact(arm["completions"]))}
        for arm in run.arms
        if arm["completions"]
    }
    theirs = lengths.get(str(run.index.get("against", "")), {})
    return {
        row: {key: float(count - theirs[key]) for key, count in ours.items() if key in theirs}
        for row, ours in lengths.items()
    }


def _on_answers(rows: Mapping[str, Mapping[str, Verdicts]]) -> list[RaterAgreement]:
    """On the rows that every judge judged."""
    shared = [row for row in next(iter(rows.values()), {}) if all(row in each for each in rows.values())]
    if len(rows) < 2 or not shared:
        return []
    every = {
        judge: {f"{row}/{key}": each for row in shared for key, each in found[row].items()}
        for judge, found in rows.items()
    }
    return agreements(every, ANSWERS, {key: key.rpartition("/")[2] for each in every.values() for key in each})


def _on_pairs(people: Mapping[str, Verdicts], human: Mapping[str, Choice], prompts: Clusters) -> list[RaterAgreement]:
    there = {judge: verdicts for judge, verdicts in people.items() if verdicts}
    return agreements(there, PAIRS, prompts, human) if there else []


def _engine(judge: Component) -> str:
    """What a judge asks, in a few words."""
    engine = getattr(judge, "engine", None)
    if not isinstance(engine, Component):
        return kind_of(judge)
    model = getattr(engine, "model", "")
    return " ".join(filter(None, [kind_of(engine), str(model)]))
