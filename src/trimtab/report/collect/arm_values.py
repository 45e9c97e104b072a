"""Per-prompt and per-pair values of each arm, from which its metrics are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trimtab import stats
from trimtab.report.collect.rewards import reward_metric_name
from trimtab.report.collect.side_effects import (
    compute_policy_metrics,
    compute_preference_probabilities,
    compute_response_metrics,
)
from trimtab.report.run_reader import Run, RunRow
from trimtab.storage.schemas import load_completions, load_logprobs, load_scores
from trimtab.types import Annotation, Metric, Pair

# Metrics whose values are 0 or 1 (or one half), by family: `accuracy.DOMAIN` is one, too.
_RATE_METRICS = ("accuracy", "eos_rate", "refusal_rate", "overconfident_error_rate", "order_inconsistency")


@dataclass(frozen=True)
class ArmValues:
    """One arm's `values` by metric and prompt or pair id. `failed_counts` counts prompts or pairs without a value.

    `texts` are the arm's responses by prompt id.
    """

    values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    failed_counts: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def load_arm_values(run: Run) -> dict[str, ArmValues]:
    """The values of every arm that was not skipped."""
    weak = next((compute_preference_probabilities(run, arm) for arm in run.arms if arm.name == "weak_model"), {})
    return {arm.name: _load_values(run, arm, weak) for arm in run.arms if not arm.skipped}


def compute_mean_metric(name: str, values: Mapping[str, float], n_failed: int, prompt_ids: Mapping[str, str]) -> Metric:
    """The mean of values by prompt or pair id. The interval is clustered by prompt."""
    average = stats.bounded_mean if name.partition(".")[0] in _RATE_METRICS else stats.mean
    return average(list(values.values()), n_failed=n_failed, clusters=[prompt_ids.get(key, key) for key in values])


def _load_values(run: Run, arm: RunRow, weak_probabilities: Mapping[str, float]) -> ArmValues:
    """`weak_probabilities` are the weak model's preference probabilities on the test pairs."""
    completions = load_completions(run.artifact(arm.completions)) if arm.completions else []
    values: dict[str, Mapping[str, float]] = {}
    failed: dict[str, int] = {}
    for scorer, stage in arm.scores.items():
        metric = reward_metric_name(scorer, len(run.study.scorers))
        values[metric] = load_scores(run.artifact(stage))
        failed[metric] = len(completions) - len(values[metric])
    if arm.policy_logprobs and arm.reference_logprobs:
        values["accuracy"] = _implicit_reward_correctness(run, arm.policy_logprobs, arm.reference_logprobs, run.test)
    elif arm.predictions:
        predictions = run.annotations(arm.predictions)
        values["accuracy"] = _prediction_correctness(run.test, predictions)
        failed["accuracy"] = sum(prediction.status == "failed" for prediction in predictions.values())
        inconsistent = {
            key: float(prediction.detail["order_inconsistent"])
            for key, prediction in predictions.items()
            if "order_inconsistent" in prediction.detail
        }
        if inconsistent:
            values["order_inconsistency"] = inconsistent
            failed["order_inconsistency"] = len(predictions) - len(inconsistent)
    for domain, parts in run.ood_stages(arm.name).items():
        values[f"accuracy.{domain}"] = _ood_correctness(run, parts)
    if completions:
        values["length"] = {completion.prompt_id: float(completion.n_tokens) for completion in completions}
        values["eos_rate"] = {each.prompt_id: float(each.finish_reason == "end") for each in completions}
        values |= compute_response_metrics(completions)
        failed["distinct_2"] = len(completions) - len(values["distinct_2"])
    values |= compute_policy_metrics(run, arm, weak_probabilities)
    texts = {completion.prompt_id: completion.text for completion in completions}
    return ArmValues(values=values, failed_counts=failed, texts=texts)


def _prediction_correctness(pairs: Sequence[Pair], predictions: Mapping[str, Annotation]) -> dict[str, float]:
    """1 if the prediction matches the human label, 0 if not, 0.5 for a tie. Failed predictions are left out."""
    return {
        pair.id: 0.5 if predictions[pair.id].choice is None else float(predictions[pair.id].choice == pair.human)
        for pair in pairs
        if pair.human is not None and predictions[pair.id].status != "failed"
    }


def _ood_correctness(run: Run, parts: Mapping[str, str]) -> dict[str, float]:
    """Correctness on the pairs of an out-of-domain evaluation."""
    pairs = run.test_pairs_of_stage(next(iter(parts.values())))
    if "predictions" in parts:
        return _prediction_correctness(pairs, run.annotations(parts["predictions"]))
    return _implicit_reward_correctness(run, parts["policy_logprobs"], parts["reference_logprobs"], pairs)


def _implicit_reward_correctness(
    run: Run, policy_stage: str, reference_stage: str, pairs: Sequence[Pair]
) -> dict[str, float]:
    """1 if the implicit reward prefers the human-preferred response, 0 if not, 0.5 on an exact tie."""
    policy_logprobs = load_logprobs(run.artifact(policy_stage))
    reference_logprobs = load_logprobs(run.artifact(reference_stage))
    correctness = {}
    for pair in pairs:
        if pair.human is not None:
            policy, reference = policy_logprobs[pair.id], reference_logprobs[pair.id]
            margin = (policy.a - reference.a) - (policy.b - reference.b)
            signed = margin if pair.human == "a" else -margin
            correctness[pair.id] = 0.5 if signed == 0 else float(signed > 0)
    return correctness
