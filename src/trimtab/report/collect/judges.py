"""From a run's folders to what its judges said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.core.component import Component, get_kind
from trimtab.metrics.judge_quality import (
    ON_RESPONSES,
    ON_TEST_PAIRS,
    Clusters,
    JudgeInfo,
    RaterAgreement,
    Verdicts,
    build_judge_warnings,
    compute_first_position_rate,
    compute_human_agreement,
    compute_order_inconsistency,
    compute_rater_agreements,
    compute_vote_agreement,
    sum_costs,
    summarize_arm_verdicts,
)
from trimtab.report.collect.side_effects import compute_preference_probabilities
from trimtab.report.run_reader import Run
from trimtab.storage.schemas import load_completions
from trimtab.storage.verdict_schema import load_verdicts
from trimtab.types import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeResults:
    """The judges of a run, and how far they agree with one another and with people."""

    judges: tuple[JudgeInfo, ...] = ()
    agreements: tuple[RaterAgreement, ...] = ()


def collect_judge_results(run: Run) -> JudgeResults:
    """What there is of it: a judge whose verdicts are not there yet is left out."""
    if not run.study.judges:
        return JudgeResults()
    rows = {name: _load_response_verdicts(run, name) for name in run.study.judges}
    people = {name: _load_human_pair_verdicts(run, name) for name in run.study.judges}
    human = {pair.id: pair.human for pair in run.test if pair.human is not None}
    leads, parts = _compute_length_differences(run), _split_by_weak_agreement(run, human)
    found = tuple(
        _build_judge_info(
            name, judge, run.index.baseline, rows[name], people[name], leads, human, run.prompt_ids, parts
        )
        for name, judge in run.study.judges.items()
        if rows[name] or people[name]
    )
    return JudgeResults(
        judges=found, agreements=(*_agreements_on_responses(rows), *_agreements_on_pairs(people, human, run.prompt_ids))
    )


def _build_judge_info(
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
    figures = {
        "order_flips": compute_order_inconsistency(every, clusters),
        "first_named": compute_first_position_rate(every, clusters),
    }
    figures |= compute_vote_agreement(every, clusters)
    if people:
        figures |= compute_human_agreement(people, human, prompts)
    for part, keys in parts.items():
        some = {key: each for key, each in people.items() if key in keys}
        told = (
            {"order_flips": compute_order_inconsistency(some, prompts), **compute_vote_agreement(some, prompts)}
            if some
            else {}
        )
        figures |= {f"{figure}.{part}": metric for figure, metric in told.items()}
    failed = sum(each.outcome == "failed" for each in every.values())
    return JudgeInfo(
        name=name,
        engine=_describe_engine(judge),
        baseline=against,
        arms={row: summarize_arm_verdicts(verdicts, leads[row]) for row, verdicts in rows.items()},
        metrics=figures,
        warnings=build_judge_warnings(name, figures, failed, len(every)),
        cost=sum_costs([every]),
    )


def _split_by_weak_agreement(run: Run, human: Mapping[str, Choice]) -> dict[str, set[str]]:
    """The test pairs on which the weak model prefers what people do, and those on which it does not (Tao & Li, table 5)."""
    weak = next((compute_preference_probabilities(run, arm) for arm in run.arms if arm.name == "weak_model"), {})
    told = {key: (p > 0.5) == (human[key] == "a") for key, p in weak.items() if key in human and p != 0.5}
    sides = {
        "match": {key for key, same in told.items() if same},
        "mismatch": {key for key, same in told.items() if not same},
    }
    return {part: keys for part, keys in sides.items() if keys}


def _load_response_verdicts(run: Run, judge: str) -> dict[str, Verdicts]:
    """A judge's verdicts on each row's answers, by prompt."""
    stages = {arm.name: arm.verdicts.get(judge) for arm in run.arms}
    return {
        row: load_verdicts(run.artifact(stage)) for row, stage in stages.items() if stage and run.is_finished(stage)
    }


def _load_human_pair_verdicts(run: Run, judge: str) -> Verdicts:
    stage = run.index.human_verdicts.get(judge)
    return load_verdicts(run.artifact(stage)) if stage and run.is_finished(stage) else {}


def _compute_length_differences(run: Run) -> dict[str, dict[str, float]]:
    """How many tokens longer each row's answer is than the one that it was compared with, by prompt."""
    lengths = {
        arm.name: {each.prompt_id: each.n_tokens for each in load_completions(run.artifact(arm.completions))}
        for arm in run.arms
        if arm.completions
    }
    theirs = lengths.get(run.index.baseline, {})
    return {
        row: {key: float(count - theirs[key]) for key, count in ours.items() if key in theirs}
        for row, ours in lengths.items()
    }


def _agreements_on_responses(rows: Mapping[str, Mapping[str, Verdicts]]) -> list[RaterAgreement]:
    """On the rows that every judge judged."""
    shared = [row for row in next(iter(rows.values()), {}) if all(row in each for each in rows.values())]
    if len(rows) < 2 or not shared:
        return []
    every = {
        judge: {f"{row}/{key}": each for row in shared for key, each in found[row].items()}
        for judge, found in rows.items()
    }
    return compute_rater_agreements(
        every, ON_RESPONSES, {key: key.rpartition("/")[2] for each in every.values() for key in each}
    )


def _agreements_on_pairs(
    people: Mapping[str, Verdicts], human: Mapping[str, Choice], prompts: Clusters
) -> list[RaterAgreement]:
    there = {judge: verdicts for judge, verdicts in people.items() if verdicts}
    return compute_rater_agreements(there, ON_TEST_PAIRS, prompts, human) if there else []


def _describe_engine(judge: Component) -> str:
    """What a judge asks, in a few words."""
    engine = getattr(judge, "engine", None)
    if not isinstance(engine, Component):
        return get_kind(judge)
    model = getattr(engine, "model", "")
    return " ".join(filter(None, [get_kind(engine), str(model)]))
