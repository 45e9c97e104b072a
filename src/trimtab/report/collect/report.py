"""From a run's folders to a report: a pure reading, made anywhere and at any time, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trimtab import stats
from trimtab.report.collect.comparisons import build_comparisons
from trimtab.report.collect.judges import collect_judge_results
from trimtab.report.collect.labels import build_label_info
from trimtab.report.collect.rewards import (
    GOLD_REWARD,
    RewardInfo,
    collect_rewards,
    format_proxy_note,
    reward_metric_name,
)
from trimtab.report.collect.search_trees import SearchInfo, collect_search_info
from trimtab.report.collect.side_effects import (
    compute_policy_metrics,
    compute_preference_probabilities,
    compute_response_metrics,
)
from trimtab.report.collect.similarities import collect_similarities
from trimtab.report.collect.training_logs import collect_training_curves
from trimtab.report.model import Arm, LabelInfo, Report, Sample, SplitInfo, StageCost, StudyInfo
from trimtab.report.run_reader import SPLIT_NAMES, Run, RunRow
from trimtab.storage.schemas import load_completions, load_logprobs, load_scores
from trimtab.types import Annotation, Metric, Pair, format_conversation

REFERENCE_ROWS = ("base", "sft", "weak_model")
# What is told by rights and wrongs, also where it is `accuracy.DOMAIN`.
_RATE_METRICS = ("accuracy", "ended", "refusals", "surer_and_wrong", "order_flips")
# How many missing stages a note names.
_MAX_NAMED_STAGES = 6


@dataclass(frozen=True)
class ArmValues:
    """One arm's figures a row, by prompt or pair id, before they are averaged; `failed` counts rows without a figure."""

    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failed_counts: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def _load_values(run: Run, arm: RunRow, weak: Mapping[str, float]) -> ArmValues:
    """What an arm's figures are averaged from; `weak` is what the weak model says of the test pairs."""
    completions = load_completions(run.artifact(arm.completions)) if arm.completions else []
    values: dict[str, Mapping[str, float]] = {}
    failed: dict[str, int] = {}
    for name, stage in arm.scores.items():
        metric = reward_metric_name(name, len(run.study.scorers))
        values[metric] = load_scores(run.artifact(stage))
        failed[metric] = len(completions) - len(values[metric])
    if arm.policy_logprobs and arm.reference_logprobs:
        values["accuracy"] = _implicit_reward_correctness(run, arm.policy_logprobs, arm.reference_logprobs, run.test)
    elif arm.predictions:
        predicted = run.annotations(arm.predictions)
        values["accuracy"] = _prediction_correctness(run.test, predicted)
        failed["accuracy"] = sum(each.status == "failed" for each in predicted.values())
        flips = {key: float(each.detail["flipped"]) for key, each in predicted.items() if "flipped" in each.detail}
        if flips:
            values["order_flips"], failed["order_flips"] = flips, len(predicted) - len(flips)
    for domain, parts in run.ood_stages(arm.name).items():
        values[f"accuracy.{domain}"] = _ood_correctness(run, parts)
    if completions:
        values["length"] = {each.prompt_id: float(each.n_tokens) for each in completions}
        values["ended"] = {each.prompt_id: float(each.finish_reason == "end") for each in completions}
        values |= compute_response_metrics(completions)
        failed["distinct"] = len(completions) - len(values["distinct"])
    values |= compute_policy_metrics(run, arm, weak)
    texts = {each.prompt_id: each.text for each in completions}
    return ArmValues(values=values, failed_counts=failed, texts=texts)


def _prediction_correctness(test: Sequence[Pair], predicted: Mapping[str, Annotation]) -> dict[str, float]:
    """1 where the prediction is what people preferred, 0 where not, a half where it is a tie; none where it failed."""
    return {
        pair.id: 0.5 if predicted[pair.id].choice is None else float(predicted[pair.id].choice == pair.human)
        for pair in test
        if pair.human is not None and predicted[pair.id].status != "failed"
    }


def _ood_correctness(run: Run, parts: Mapping[str, str]) -> dict[str, float]:
    """The same on the pairs of another domain."""
    there = run.test_pairs_of_stage(next(iter(parts.values())))
    if "predictions" in parts:
        return _prediction_correctness(there, run.annotations(parts["predictions"]))
    return _implicit_reward_correctness(run, parts["policy_logprobs"], parts["reference_logprobs"], there)


def _implicit_reward_correctness(
    run: Run, policy_stage: str, reference_stage: str, test: Sequence[Pair]
) -> dict[str, float]:
    """1 if the implicit reward prefers the human-preferred response, 0 if not, 0.5 on an exact tie."""
    policy = load_logprobs(run.artifact(policy_stage))
    reference = load_logprobs(run.artifact(reference_stage))
    found = {}
    for pair in test:
        if pair.human is not None:
            ours, base = policy[pair.id], reference[pair.id]
            margin = (ours.a - base.a) - (ours.b - base.b)
            signed = margin if pair.human == "a" else -margin
            found[pair.id] = 0.5 if signed == 0 else float(signed > 0)
    return found


def collect_report(folder: Path) -> Report:
    """The report of a run, of what there is where it is not finished. Raises `StoreError` where there is no run."""
    return build_report(Run(folder))


def load_arm_values(run: Run) -> dict[str, ArmValues]:
    """What the figures of every arm that was not left out are averaged from."""
    weak = next((compute_preference_probabilities(run, arm) for arm in run.arms if arm.name == "weak_model"), {})
    return {arm.name: _load_values(run, arm, weak) for arm in run.arms if not arm.skipped}


def build_report(run: Run) -> Report:
    """The report of a run."""
    arms, judging = run.arms, collect_judge_results(run)
    rows = load_arm_values(run)
    rewards = collect_rewards(run)
    return Report(
        study=_build_study_info(run),
        arms=tuple(_add_pgr(_build_arm(arm, rows.get(arm.name), run), rows, run) for arm in arms),
        comparisons=tuple(
            build_comparisons(
                {name: each.values for name, each in rows.items()}, run.prompt_ids, _requested_baselines(run)
            )
        ),
        labels=tuple(_build_label_info(run, arm) for arm in arms if arm.labels),
        searches=tuple(_collect_searches(run)),
        data=tuple(_collect_splits(run)),
        stage_costs=tuple(_collect_stage_costs(run)),
        samples=tuple(_collect_samples(run, rows, rewards)),
        rewards=tuple(rewards),
        similarities=tuple(collect_similarities(run)),
        judges=judging.judges,
        rater_agreements=judging.agreements,
        notes=(*_collect_notes(run, rewards), *(warning for judge in judging.judges for warning in judge.warnings)),
        missing_stages=run.missing_stages,
        training_curves=collect_training_curves(run),
    )


def _build_study_info(run: Run) -> StudyInfo:
    study = run.study
    models = (study.models.weak, study.models.student)
    weak, student = (f"{m.base} (first {m.layers} layers)" if m.layers else m.base for m in models)
    return StudyInfo(
        name=study.name,
        seed=study.seed,
        weak=weak,
        student=student,
        description=study.description,
        version=run.index.trimtab_version,
        fingerprint=str(run.split.record["fingerprint"]) if run.has_split else "",
        yaml=study.to_yaml(),
    )


def _build_arm(arm: RunRow, rows: ArmValues | None, run: Run) -> Arm:
    metrics: dict[str, Metric] = {}
    if rows is not None:
        for name, values in rows.values.items():
            metrics[name] = compute_mean_metric(name, values, rows.failed_counts.get(name, 0), run.prompt_ids)
    role = "reference" if arm.name in REFERENCE_ROWS else "arm"
    return Arm(
        name=arm.name,
        role=role,  # type: ignore[arg-type]
        description=arm.description,
        metrics=metrics,
        skipped=arm.skipped,
        pending=arm.pending,
        compare_with=_requested_baselines(run).get(arm.name, ()),
    )


def compute_mean_metric(name: str, values: Mapping[str, float], failed: int, prompts: Mapping[str, str]) -> Metric:
    """The mean of a row's figures by prompt or pair id. Pairs of one prompt are not independent: intervals are over prompts."""
    figure = stats.bounded_mean if name.partition(".")[0] in _RATE_METRICS else stats.mean
    return figure(list(values.values()), n_failed=failed, clusters=[prompts.get(key, key) for key in values])


def _add_pgr(arm: Arm, rows: Mapping[str, ArmValues], run: Run) -> Arm:
    """The arm with the gap that its student recovers between the weak model and human labels, where students choose."""
    if run.study.training.objective != "preference" or arm.role != "arm" or not {"weak_model", "human"} <= set(rows):
        return arm
    weak, ceiling = (rows[name].values.get("accuracy") for name in ("weak_model", "human"))
    ours = rows[arm.name].values.get("accuracy") if arm.name in rows else None
    if weak is None or ours is None or ceiling is None or arm.name == "human":
        return arm
    return replace(
        arm,
        metrics={**arm.metrics, "pgr": stats.performance_gap_recovered(weak, ours, ceiling, clusters=run.prompt_ids)},
    )


def _requested_baselines(run: Run) -> dict[str, tuple[str, ...]]:
    """The rows that the study has each arm compared with."""
    return {name: arm.compare_with for name, arm in run.study.arms.items()}


def _build_label_info(run: Run, arm: RunRow) -> LabelInfo:
    labels, source = arm.labels, run.source_stage(arm.labels)
    return build_label_info(
        arm.name,
        arm.annotator,
        run.annotations(labels),
        run.unlabeled,
        float(run.artifact(source).record["seconds"]),
        source,
        unfiltered=None if source == labels else run.annotations(source),
    )


def _collect_searches(run: Run) -> list[SearchInfo]:
    """One for each asking that left trees; arms that differ in their filters alone share theirs."""
    arms: dict[str, list[str]] = {}
    for arm in run.arms:
        if arm.labels:
            arms.setdefault(run.source_stage(arm.labels), []).append(arm.name)
    found = (
        collect_search_info(names, run.annotations(source), run.unlabeled, run.study.num_report_samples)
        for source, names in arms.items()
    )
    return [each for each in found if each is not None]


def _collect_splits(run: Run) -> list[SplitInfo]:
    if not run.has_split:
        return []
    facts = run.split.record["facts"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in facts["reasons"].items())
    layout = "; ".join(dict.fromkeys(facts["layout"].values()))
    return [
        SplitInfo(
            name=side,
            pairs=facts["pairs"][side],
            prompts=facts["prompts"][side],
            failures=facts["failures"] if place == 0 else 0,
            note=". ".join(part for part in (layout, f"left out: {reasons}" if reasons else "") if part)
            if place == 0
            else "",
        )
        for place, side in enumerate(SPLIT_NAMES)
    ]


def _collect_stage_costs(run: Run) -> list[StageCost]:
    made = set(run.index.created)
    return [
        StageCost(
            name=record["name"],
            seconds=record["seconds"],
            from_cache=name not in made,
            tokens=record["facts"].get("tokens", 0),
            detail=_format_stage_detail(record["facts"]),
        )
        for name in run.index.stages
        if run.is_finished(name)
        for record in [run.artifact(name).record]
    ]


def _format_stage_detail(facts: Mapping[str, Any]) -> str:
    if "steps" in facts:
        last = ", ".join(f"{key} {value:g}" for key, value in facts.get("last", {}).items())
        return f"{facts['examples']} examples, {facts['steps']} steps; last: {last}"
    for unit in ("pairs", "prompts"):
        if isinstance(facts.get(unit), int):
            return f"{facts[unit]} {unit}"
    return ""


def _collect_samples(run: Run, rows: Mapping[str, ArmValues], rewards: Sequence[RewardInfo]) -> list[Sample]:
    prompts = {pair.prompt_id: pair.prompt for pair in run.test}
    rows = {name: each for name, each in rows.items() if each.texts}
    answered = [key for key in prompts if rows and all(key in each.texts for each in rows.values())]
    proxies = {each.metric for each in rewards if each.is_proxy}
    scored = dict.fromkeys(name for each in rows.values() for name in each.values if name.startswith(GOLD_REWARD))
    # a reward that the study did not train is shown before one that it did
    gold = min(scored, key=lambda name: name in proxies, default=None)
    return [
        Sample(
            prompt=format_conversation(prompts[key]),
            completions={name: each.texts[key] for name, each in rows.items()},
            scores={name: each.values.get(gold, {}).get(key) for name, each in rows.items()} if gold else {},
            metric=gold or GOLD_REWARD,
        )
        for key in answered[: run.study.num_report_samples]
    ]


def _collect_notes(run: Run, rewards: Sequence[RewardInfo]) -> list[str]:
    notes = [_format_unfinished_note(run)] if run.missing_stages else []
    if not run.has_split:
        return notes
    facts = run.split.record["facts"]
    if any("synthetic" in layout for layout in facts["layout"].values()):
        notes.append(
            "The pairs are Trimtab's starter set: synthetic prompts, responses and labels. The figures show that the "
            "machinery works and how the arms compare on it; they say nothing of real people's preferences."
        )
    proxies = (format_proxy_note(each) for each in rewards if each.is_proxy)
    return [*notes, *proxies, *(warning for each in rewards for warning in each.warnings)]


def _format_unfinished_note(run: Run) -> str:
    names = [name.rpartition("-")[0] for name in run.missing_stages]
    more = f" and {len(names) - _MAX_NAMED_STAGES} more" if len(names) > _MAX_NAMED_STAGES else ""
    verb = "is" if len(names) == 1 else "are"
    return (
        f"This study is not finished: {len(names)} of its {len(run.index.stages)} stages {verb} missing "
        f"({', '.join(names[:_MAX_NAMED_STAGES])}{more}). What is there is shown; run the study again to go on with it."
    )
