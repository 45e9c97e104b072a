"""Collects the results of a run's judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    compute_vote_agreement_gap,
    compute_weak_agreement,
    count_unparsed_ties,
    queries_one_order,
    sum_costs,
    summarize_arm_verdicts,
    summarize_criteria,
)
from trimtab.metrics.label_quality import get_choices, get_human_choices, split_by_match
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
    """What all judges of a run share.

    Human labels and prompt ids of the test and unlabeled pairs, weak labels of the unlabeled pairs and the two subsets by
    whether they match the human labels, and response lengths.
    """

    human: Mapping[str, Choice]
    weak: Mapping[str, Choice]
    prompt_ids: Clusters
    subsets: Mapping[str, Sequence[str]]
    length_differences: Mapping[str, Mapping[str, float]]
    baseline: str


def collect_judge_results(run: Run) -> JudgeResults:
    """The results of every judge that has verdicts. Unfinished stages are left out."""
    if not run.study.judges:
        return JudgeResults()
    by_arm = {name: _load_response_verdicts(run, name) for name in run.study.judges}
    on_pairs = {name: _load_verdicts(run, run.index.human_verdicts.get(name)) for name in run.study.judges}
    on_unlabeled = {name: _load_verdicts(run, run.index.unlabeled_verdicts.get(name)) for name in run.study.judges}
    human = {pair.id: pair.human for pair in run.test if pair.human is not None}
    weak = _load_weak_choices(run)
    context = _JudgingContext(
        human=human,
        weak=weak,
        prompt_ids={**run.prompt_ids, **{pair.id: pair.prompt_id for pair in run.unlabeled if pair.id in weak}},
        subsets=split_by_match(weak, get_human_choices(run.unlabeled)),
        length_differences=_compute_length_differences(run),
        baseline=run.index.baseline,
    )
    return JudgeResults(
        judges=tuple(
            _build_judge_info(name, judge, by_arm[name], on_pairs[name], on_unlabeled[name], context)
            for name, judge in run.study.judges.items()
            if by_arm[name] or on_pairs[name] or on_unlabeled[name]
        ),
        agreements=(*_agreements_on_responses(by_arm), *_agreements_on_pairs(on_pairs, human, run.prompt_ids)),
    )


def _build_judge_info(
    name: str,
    judge: Component,
    by_arm: Mapping[str, Verdicts],
    on_pairs: Verdicts,
    on_unlabeled: Verdicts,
    context: _JudgingContext,
) -> JudgeInfo:
    on_responses = {f"{arm}/{key}": each for arm, verdicts in by_arm.items() for key, each in verdicts.items()}
    verdicts = {**on_responses, **on_pairs, **on_unlabeled}
    # verdicts on responses have ARM/PROMPT ids
    clusters = {**context.prompt_ids, **{key: key.rpartition("/")[2] for key in on_responses}}
    metrics = _compute_judge_metrics(verdicts, on_pairs, on_unlabeled, context, clusters)
    n_failed = sum(verdict.outcome == "failed" for verdict in verdicts.values())
    return JudgeInfo(
        name=name,
        engine=_describe_engine(judge),
        baseline=context.baseline,
        arms={arm: summarize_arm_verdicts(each, context.length_differences[arm]) for arm, each in by_arm.items()},
        queries_one_order=queries_one_order(verdicts),
        metrics=metrics,
        criteria=summarize_criteria(verdicts, on_pairs, context.human, clusters),
        warnings=build_judge_warnings(name, metrics, n_failed, count_unparsed_ties(verdicts), len(verdicts)),
        cost=sum_costs([verdicts]),
    )


def _compute_judge_metrics(
    verdicts: Verdicts, on_pairs: Verdicts, on_unlabeled: Verdicts, context: _JudgingContext, clusters: Clusters
) -> dict[str, Metric]:
    """Metrics over all verdicts, and over each subset of the unlabeled pairs."""
    metrics = {
        **_compute_inconsistency(verdicts, clusters),
        "first_position_rate": compute_first_position_rate(verdicts, clusters),
        **compute_vote_agreement(verdicts, clusters),
    }
    if on_pairs:
        metrics |= compute_human_agreement(on_pairs, context.human, context.prompt_ids)
    by_subset = {
        subset: {key: on_unlabeled[key] for key in pair_ids if key in on_unlabeled}
        for subset, pair_ids in context.subsets.items()
    }
    for subset, subset_verdicts in by_subset.items():
        if subset_verdicts:
            subset_metrics = {
                "weak_agreement": compute_weak_agreement(subset_verdicts, context.weak, context.prompt_ids),
                **compute_vote_agreement(subset_verdicts, context.prompt_ids),
                **_compute_inconsistency(subset_verdicts, context.prompt_ids),
            }
            metrics |= {f"{metric}.{subset}": value for metric, value in subset_metrics.items()}
    return metrics | compute_vote_agreement_gap(by_subset["match"], by_subset["mismatch"], context.prompt_ids)


def _compute_inconsistency(verdicts: Verdicts, clusters: Clusters) -> dict[str, Metric]:
    """Empty for a judge that was queried in one order."""
    return (
        {} if queries_one_order(verdicts) else {"order_inconsistency": compute_order_inconsistency(verdicts, clusters)}
    )


def _load_weak_choices(run: Run) -> dict[str, Choice]:
    """The choices of the weak labels that unlabeled pairs were selected by; empty if judges compared none."""
    stage = next((each for each in run.index.unlabeled_verdicts.values() if run.is_finished(each)), None)
    if stage is None:
        return {}
    labels = run.annotations(run.index.stage_with_fingerprint(run.artifact(stage).record["inputs"]["labels"]))
    return {key: choice for key, choice in get_choices(labels).items() if choice is not None}


def _load_response_verdicts(run: Run, judge: str) -> dict[str, Verdicts]:
    """A judge's verdicts on each arm's responses, by prompt id."""
    stages = {arm.name: arm.verdicts.get(judge) for arm in run.arms}
    return {
        arm: load_verdicts(run.artifact(stage)) for arm, stage in stages.items() if stage and run.is_finished(stage)
    }


def _load_verdicts(run: Run, stage: str | None) -> Verdicts:
    """A judge's verdicts on pairs, by pair id; empty if the stage is unfinished or None."""
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
