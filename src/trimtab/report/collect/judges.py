"""Collects the results of a run's judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.core.component import Component, get_kind
from trimtab.metrics.judge_quality import (
    ON_RESPONSES,
    ON_TEST_PAIRS,
    Clusters,
    RaterAgreement,
    Verdicts,
    compute_first_position_rate,
    compute_human_agreement,
    compute_order_inconsistency,
    compute_rater_agreements,
    compute_vote_agreement,
    sum_costs,
    summarize_arm_verdicts,
)
from trimtab.report.collect.side_effects import compute_preference_probabilities
from trimtab.report.model import JudgeInfo
from trimtab.report.run_reader import Run
from trimtab.report.text.judge_summary import build_judge_warnings
from trimtab.storage.schemas import load_completions
from trimtab.storage.verdict_schema import load_verdicts
from trimtab.types import Choice, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeResults:
    """The judges of a run, and their agreement with each other and with human labels."""

    judges: tuple[JudgeInfo, ...] = ()
    agreements: tuple[RaterAgreement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _JudgingContext:
    """What all judges of a run share: human labels, prompt ids and subsets of the test pairs, and response lengths."""

    human: Mapping[str, Choice]
    prompt_ids: Clusters
    subsets: Mapping[str, set[str]]
    length_differences: Mapping[str, Mapping[str, float]]
    baseline: str


def collect_judge_results(run: Run) -> JudgeResults:
    """The results of every judge that has verdicts. Unfinished stages are left out."""
    if not run.study.judges:
        return JudgeResults()
    by_arm = {name: _load_response_verdicts(run, name) for name in run.study.judges}
    on_pairs = {name: _load_human_pair_verdicts(run, name) for name in run.study.judges}
    human = {pair.id: pair.human for pair in run.test if pair.human is not None}
    context = _JudgingContext(
        human=human,
        prompt_ids=run.prompt_ids,
        subsets=_split_by_weak_agreement(run, human),
        length_differences=_compute_length_differences(run),
        baseline=run.index.baseline,
    )
    return JudgeResults(
        judges=tuple(
            _build_judge_info(name, judge, by_arm[name], on_pairs[name], context)
            for name, judge in run.study.judges.items()
            if by_arm[name] or on_pairs[name]
        ),
        agreements=(*_agreements_on_responses(by_arm), *_agreements_on_pairs(on_pairs, human, run.prompt_ids)),
    )


def _build_judge_info(
    name: str, judge: Component, by_arm: Mapping[str, Verdicts], on_pairs: Verdicts, context: _JudgingContext
) -> JudgeInfo:
    on_responses = {f"{arm}/{key}": each for arm, verdicts in by_arm.items() for key, each in verdicts.items()}
    verdicts = on_responses | dict(on_pairs)
    metrics = _compute_judge_metrics(verdicts, on_pairs, context)
    n_failed = sum(verdict.outcome == "failed" for verdict in verdicts.values())
    return JudgeInfo(
        name=name,
        engine=_describe_engine(judge),
        baseline=context.baseline,
        arms={arm: summarize_arm_verdicts(each, context.length_differences[arm]) for arm, each in by_arm.items()},
        metrics=metrics,
        warnings=build_judge_warnings(name, metrics, n_failed, len(verdicts)),
        cost=sum_costs([verdicts]),
    )


def _compute_judge_metrics(verdicts: Verdicts, on_pairs: Verdicts, context: _JudgingContext) -> dict[str, Metric]:
    """Metrics over all verdicts, and over each subset of the human-labeled pairs. Verdicts on responses have ARM/PROMPT ids."""
    clusters = {**context.prompt_ids, **{key: key.rpartition("/")[2] for key in verdicts if "/" in key}}
    metrics = {
        "order_inconsistency": compute_order_inconsistency(verdicts, clusters),
        "first_position_rate": compute_first_position_rate(verdicts, clusters),
        **compute_vote_agreement(verdicts, clusters),
    }
    if on_pairs:
        metrics |= compute_human_agreement(on_pairs, context.human, context.prompt_ids)
    for subset, pair_ids in context.subsets.items():
        subset_verdicts = {key: verdict for key, verdict in on_pairs.items() if key in pair_ids}
        if subset_verdicts:
            inconsistency = compute_order_inconsistency(subset_verdicts, context.prompt_ids)
            votes = compute_vote_agreement(subset_verdicts, context.prompt_ids)
            subset_metrics = {"order_inconsistency": inconsistency, **votes}
            metrics |= {f"{metric}.{subset}": value for metric, value in subset_metrics.items()}
    return metrics


def _split_by_weak_agreement(run: Run, human: Mapping[str, Choice]) -> dict[str, set[str]]:
    """Test pairs on which the weak model agrees with the human label, and the others (Tao & Li 2025, table 5)."""
    weak = next((compute_preference_probabilities(run, arm) for arm in run.arms if arm.name == "weak_model"), {})
    agrees = {key: (p > 0.5) == (human[key] == "a") for key, p in weak.items() if key in human and p != 0.5}
    subsets = {
        "match": {key for key, same in agrees.items() if same},
        "mismatch": {key for key, same in agrees.items() if not same},
    }
    return {subset: pair_ids for subset, pair_ids in subsets.items() if pair_ids}


def _load_response_verdicts(run: Run, judge: str) -> dict[str, Verdicts]:
    """A judge's verdicts on each arm's responses, by prompt id."""
    stages = {arm.name: arm.verdicts.get(judge) for arm in run.arms}
    return {
        arm: load_verdicts(run.artifact(stage)) for arm, stage in stages.items() if stage and run.is_finished(stage)
    }


def _load_human_pair_verdicts(run: Run, judge: str) -> Verdicts:
    """A judge's verdicts on human-labeled test pairs, by pair id."""
    stage = run.index.human_verdicts.get(judge)
    return load_verdicts(run.artifact(stage)) if stage and run.is_finished(stage) else {}


def _compute_length_differences(run: Run) -> dict[str, dict[str, float]]:
    """Tokens of each arm's response minus tokens of the baseline's, by prompt id."""
    lengths = {
        arm.name: {each.prompt_id: each.n_tokens for each in load_completions(run.artifact(arm.completions))}
        for arm in run.arms
        if arm.completions
    }
    baseline = lengths.get(run.index.baseline, {})
    return {
        arm: {key: float(count - baseline[key]) for key, count in counts.items() if key in baseline}
        for arm, counts in lengths.items()
    }


def _agreements_on_responses(by_arm: Mapping[str, Mapping[str, Verdicts]]) -> list[RaterAgreement]:
    """Agreement between judges, on the arms that all of them judged."""
    first = next(iter(by_arm.values()), {})
    shared = [arm for arm in first if all(arm in arms for arms in by_arm.values())]
    if len(by_arm) < 2 or not shared:
        return []
    verdicts = {
        judge: {f"{arm}/{key}": each for arm in shared for key, each in arms[arm].items()}
        for judge, arms in by_arm.items()
    }
    clusters = {key: key.rpartition("/")[2] for each in verdicts.values() for key in each}
    return compute_rater_agreements(verdicts, ON_RESPONSES, clusters)


def _agreements_on_pairs(
    on_pairs: Mapping[str, Verdicts], human: Mapping[str, Choice], prompt_ids: Clusters
) -> list[RaterAgreement]:
    verdicts = {judge: each for judge, each in on_pairs.items() if each}
    return compute_rater_agreements(verdicts, ON_TEST_PAIRS, prompt_ids, human) if verdicts else []


def _describe_engine(judge: Component) -> str:
    """The kind and model of the judge's engine, or the judge's kind if it has no engine."""
    engine = getattr(judge, "engine", None)
    if not isinstance(engine, Component):
        return get_kind(judge)
    model = getattr(engine, "model", "")
    return " ".join(filter(None, [get_kind(engine), str(model)]))
