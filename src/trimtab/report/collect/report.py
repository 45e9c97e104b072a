"""Builds the report of a run from its folder. Needs neither torch nor a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from trimtab import stats
from trimtab.config.names import build_round_row_name, is_sft_row
from trimtab.data.split import SPLIT_NAMES
from trimtab.metrics.label_certificate import parse_certificate
from trimtab.metrics.model_preference import ModelPreference, compare_models
from trimtab.report.collect.arm_values import ArmValues, compute_mean_metric, load_arm_values
from trimtab.report.collect.comparisons import build_comparisons
from trimtab.report.collect.judges import collect_judge_results
from trimtab.report.collect.label_worth import collect_label_worths
from trimtab.report.collect.labels import build_label_info
from trimtab.report.collect.rewards import GOLD_REWARD, RewardInfo, collect_rewards, format_proxy_note
from trimtab.report.collect.rounds import build_round_notes, collect_rounds
from trimtab.report.collect.search_trees import SearchInfo, collect_search_info
from trimtab.report.collect.similarities import collect_similarities
from trimtab.report.collect.training_logs import collect_training_curves
from trimtab.report.model import ArmResult, LabelInfo, Report, Sample, SplitInfo, StageCost, StudyInfo
from trimtab.report.run_reader import Run, RunRow
from trimtab.storage.schemas import load_split_pairs
from trimtab.types import Metric, format_conversation

REFERENCE_ROWS = ("base", "weak_model")
_MAX_NAMED_STAGES = 6


def collect_report(folder: Path) -> Report:
    """The report of a run folder; of an unfinished run, what exists. Raises `StoreError` if the folder holds no run."""
    return build_report(Run(folder))


def build_report(run: Run) -> Report:
    """The report of a run. A new part of the report is a field of `Report` and a collector that is called here."""
    arms, values = run.arms, load_arm_values(run)
    judging, rewards, similarity = collect_judge_results(run), collect_rewards(run), collect_similarities(run)
    rounds = collect_rounds(run)
    values_by_arm = {name: each.values for name, each in values.items()}
    judge_warnings = (warning for judge in judging.judges for warning in judge.warnings)
    return Report(
        study=_build_study_info(run),
        arms=tuple(_add_pgr(_build_arm(arm, values.get(arm.name), run), values, run) for arm in arms),
        comparisons=tuple(
            build_comparisons(
                values_by_arm, run.prompt_ids, _requested_baselines(run), {arm.name: arm.start for arm in arms}
            )
        ),
        label_worths=collect_label_worths([run], [values]),
        labels=tuple(info for arm in arms if arm.labels and (info := collect_label_info(run, arm.name)) is not None),
        searches=tuple(_collect_searches(run)),
        data=tuple(_collect_splits(run)),
        stage_costs=tuple(_collect_stage_costs(run)),
        samples=tuple(_collect_samples(run, values, rewards)),
        rewards=tuple(rewards),
        similarities=similarity.similarities,
        similarity_correlations=similarity.correlations,
        judges=judging.judges,
        rater_agreements=judging.agreements,
        notes=(*_collect_notes(run, rewards), *build_round_notes(rounds), *judge_warnings),
        missing_stages=run.missing_stages,
        training_curves=collect_training_curves(run),
        rounds=rounds,
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


def _build_arm(row: RunRow, values: ArmValues | None, run: Run) -> ArmResult:
    metrics: dict[str, Metric] = {}
    if values is not None:
        for name, by_id in values.values.items():
            metrics[name] = compute_mean_metric(name, by_id, values.failed_counts.get(name, 0), run.prompt_ids)
    return ArmResult(
        name=row.name,
        role="reference" if row.name in REFERENCE_ROWS or is_sft_row(row.name) else "arm",
        description=row.description,
        metrics=metrics,
        skipped=row.skipped,
        pending=row.pending,
        start=row.start,
        compare_with=_requested_baselines(run).get(row.name, ()),
    )


def _add_pgr(arm: ArmResult, values: Mapping[str, ArmValues], run: Run) -> ArmResult:
    """Adds the performance gap recovered between the weak model and human labels, if students are preference models."""
    is_preference_study = run.study.training.objective == "preference_model"
    if not is_preference_study or arm.role != "arm" or not {"weak_model", "human"} <= set(values):
        return arm
    weak, ceiling = (values[name].values.get("accuracy") for name in ("weak_model", "human"))
    student = values[arm.name].values.get("accuracy") if arm.name in values else None
    if weak is None or student is None or ceiling is None or arm.name == "human":
        return arm
    pgr = stats.performance_gap_recovered(weak, student, ceiling, clusters=run.prompt_ids)
    return replace(arm, metrics={**arm.metrics, "pgr": pgr})


def _requested_baselines(run: Run) -> dict[str, tuple[str, ...]]:
    """The arms that the study compares each arm with; the round before for a later round."""
    by_arm = {name: arm.compare_with for name, arm in run.study.arms.items()}
    return by_arm | {
        row: (index.arm if index.number == 2 else build_round_row_name(index.arm, index.number - 1),)
        for row, index in run.index.rounds.items()
        if index.number > 1
    }


def collect_label_info(run: Run, name: str) -> LabelInfo | None:
    """The labels that a row's student was aligned on, also for a later round. None if it has none."""
    row = run.find_row(name)
    labels = row.labels
    if labels is None:
        return None
    source, split = run.source_stage(labels), run.index.find_labels(name)[1]
    info = build_label_info(
        name,
        row.annotator,
        run.annotations(labels),
        load_split_pairs(run.artifact(split), "unlabeled"),
        run.labeling_seconds(source),
        source,
        unfiltered=None if source == labels else run.annotations(source),
    )
    return replace(
        info,
        certificate=parse_certificate(labels, run.artifact(labels).record["facts"]),
        model_preferences=_compare_models(run, source),
    )


def _compare_models(run: Run, labels: str) -> tuple[ModelPreference, ...]:
    """By all labels, before a filter."""
    if not run.response_models:
        return ()
    prompts = {pair.id: pair.prompt_id for pair in run.unlabeled if pair.id in run.response_models}
    return tuple(compare_models(run.annotations(labels).values(), run.response_models, prompts))


def _collect_searches(run: Run) -> list[SearchInfo]:
    """One for each annotation stage with search trees. Arms that differ only in their filters share one."""
    arms: dict[str, list[str]] = {}
    for arm in run.arms:
        if arm.labels:
            arms.setdefault(run.source_stage(arm.labels), []).append(arm.name)
    searches = (
        collect_search_info(names, run.annotations(source), run.unlabeled, run.study.num_report_samples)
        for source, names in arms.items()
    )
    return [search for search in searches if search is not None]


def _collect_splits(run: Run) -> list[SplitInfo]:
    """The splits. Failures are on their own split if it has a source of its own; the note of all data is on the first."""
    if not run.has_split:
        return []
    facts = run.split.record["facts"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in facts["reasons"].items())
    layout = "; ".join(dict.fromkeys(facts["layout"].values()))
    files = ", ".join(f"{PurePath(file).name}: {count}" for file, count in facts.get("failures_by_file", {}).items())
    parts = (layout, f"Left out: {reasons}" if reasons else "", f"Failed by file: {files}" if files else "")
    note = ". ".join(part for part in parts if part)
    by_source = facts.get("failures_by_source", {})
    failures = {SPLIT_NAMES[0]: facts["failures"]} if "all" in by_source or not by_source else by_source
    return [
        SplitInfo(
            name=split,
            pairs=facts["pairs"][split],
            prompts=facts["prompts"][split],
            failures=failures.get(split, 0),
            note=note if split == SPLIT_NAMES[0] else "",
        )
        for split in SPLIT_NAMES
    ]


def _collect_stage_costs(run: Run) -> list[StageCost]:
    created = set(run.index.created)
    return [
        StageCost(
            name=folder.rpartition("-")[0],
            seconds=record["seconds"],
            from_cache=folder not in created,
            tokens=record["facts"].get("tokens", 0),
            detail=_format_stage_detail(record["facts"]),
        )
        for folder in run.index.stages
        if run.is_finished(folder)
        for record in [run.artifact(folder).record]
    ]


def _format_stage_detail(facts: Mapping[str, Any]) -> str:
    if "steps" in facts:
        last = ", ".join(f"{key} {value:g}" for key, value in facts.get("last", {}).items())
        return f"{facts['examples']} examples, {facts['steps']} steps; last: {last}"
    for unit in ("pairs", "prompts"):
        if isinstance(facts.get(unit), int):
            return f"{facts[unit]} {unit}"
    return ""


def _collect_samples(run: Run, values: Mapping[str, ArmValues], rewards: Sequence[RewardInfo]) -> list[Sample]:
    """Test prompts that every arm responded to, up to the study's `num_report_samples`."""
    prompts = {pair.prompt_id: pair.prompt for pair in run.test}
    arms = {name: each for name, each in values.items() if each.texts}
    answered = [prompt_id for prompt_id in prompts if arms and all(prompt_id in each.texts for each in arms.values())]
    proxies = {reward.metric for reward in rewards if reward.is_proxy}
    gold_rewards = dict.fromkeys(name for each in arms.values() for name in each.values if name.startswith(GOLD_REWARD))
    # Prefer a reward that the study did not train.
    metric = min(gold_rewards, key=lambda name: name in proxies, default=None)
    return [
        Sample(
            prompt=format_conversation(prompts[prompt_id]),
            completions={name: each.texts[prompt_id] for name, each in arms.items()},
            scores={name: each.values.get(metric, {}).get(prompt_id) for name, each in arms.items()} if metric else {},
            metric=metric or GOLD_REWARD,
        )
        for prompt_id in answered[: run.study.num_report_samples]
    ]


def _collect_notes(run: Run, rewards: Sequence[RewardInfo]) -> list[str]:
    notes = [_format_unfinished_note(run)] if run.missing_stages else []
    notes += [
        f"A stage failed, and the report leaves out what needs it: {error}" for error in run.failed_stages.values()
    ]
    if not run.has_split:
        return notes
    facts = run.split.record["facts"]
    if any("synthetic" in layout for layout in facts["layout"].values()):
        notes.append(
            "The pairs are Trimtab's starter set: synthetic prompts, responses and labels. The results test the pipeline and "
            "compare the arms on this data; they are no evidence about real human preferences."
        )
    proxy_notes = (format_proxy_note(reward) for reward in rewards if reward.is_proxy)
    return [*notes, *proxy_notes, *(warning for reward in rewards for warning in reward.warnings)]


def _format_unfinished_note(run: Run) -> str:
    names = [folder.rpartition("-")[0] for folder in run.missing_stages]
    more = f" and {len(names) - _MAX_NAMED_STAGES} more" if len(names) > _MAX_NAMED_STAGES else ""
    verb = "is" if len(names) == 1 else "are"
    reason = " because a stage that they need failed, or failed themselves" if run.failed_stages else ""
    return (
        f"This study is not finished: {len(names)} of its {len(run.index.stages)} stages {verb} missing{reason} "
        f"({', '.join(names[:_MAX_NAMED_STAGES])}{more}). The report shows the finished stages; run the study again "
        "to resume it."
    )
