"""Side effects of training: refusals, repetition, distance from the reference policy, and overconfident errors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from trimtab.config.names import find_arm
from trimtab.core.annotator_inputs import ResponseScores
from trimtab.pipeline.stages.kl import load_log_ratios
from trimtab.report.run_reader import Run, RunRow
from trimtab.storage.schemas import load_logprobs
from trimtab.types import Completion, Pair

# In table order. Length is also among the main results.
SIDE_EFFECTS = (
    "length",
    "refusal_rate",
    "distinct_2",
    "kl_to_reference",
    "overconfident_error_rate",
    "order_inconsistency",
)
SIDE_EFFECT_ONLY = SIDE_EFFECTS[1:]

# A response counts as a refusal if a phrase occurs in its first 160 characters. This is a rule, not a judgment.
REFUSAL_WINDOW = 160
REFUSAL_PATTERN = re.compile(
    r"\bi(?:'m| am) (?:not able|unable|not comfortable|not willing|not going) to\b"
    r"|\bi (?:can't|cannot|can not|won't|will not|couldn't|could not) "
    r"(?:help|assist|do|provide|give|answer|support|tell|offer|recommend|comply|condone|advise|in good)\b"
    r"|\bi (?:must|have to) (?:decline|refuse)\b"
    r"|\bi (?:refuse|decline) to\b"
    r"|\bi(?:'d| would) rather not\b"
    r"|\bi don't (?:think i can|feel comfortable|want to help)\b"
    r"|\bas an ai\b[^.!?]*\b(?:can't|cannot|not able|unable)\b",
    re.IGNORECASE,
)
_WORD_PATTERN = re.compile(r"\w+(?:'\w+)?")
_NGRAM_SIZE = 2


def is_refusal(text: str) -> bool:
    """Whether a response starts with a refusal phrase (`REFUSAL_PATTERN`).

    Misses refusals in other words, and counts a response that quotes a refusal at its start.
    """
    return REFUSAL_PATTERN.search(text[:REFUSAL_WINDOW].replace("’", "'")) is not None


def compute_distinct_2(text: str) -> float | None:
    """The share of distinct word bigrams in one response (distinct-2, Li et al. 2016), in (0, 1]; case is ignored.

    1 means no repetition. None for fewer than two words.
    """
    words = _WORD_PATTERN.findall(text.lower().replace("’", "'"))
    ngrams = list(zip(*(words[start:] for start in range(_NGRAM_SIZE)), strict=False))
    return len(set(ngrams)) / len(ngrams) if ngrams else None


def compute_response_metrics(completions: list[Completion]) -> dict[str, dict[str, float]]:
    """Refusals (0 or 1) and distinct-2, by metric and prompt id."""
    distinct = {completion.prompt_id: compute_distinct_2(completion.text) for completion in completions}
    return {
        "refusal_rate": {completion.prompt_id: float(is_refusal(completion.text)) for completion in completions},
        "distinct_2": {prompt_id: share for prompt_id, share in distinct.items() if share is not None},
    }


def compute_policy_metrics(
    run: Run, arm: RunRow, weak_probabilities: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Log-ratios to the reference policy by prompt id, and overconfident errors by pair id.

    `weak_probabilities` are the weak model's probabilities on the test pairs (`compute_preference_probabilities`).
    """
    stage = run.index.kl_to_reference.get(arm.name)
    metrics = {"kl_to_reference": load_log_ratios(run.artifact(stage))} if stage and run.is_finished(stage) else {}
    if arm.name == "weak_model":
        return metrics
    probabilities = compute_preference_probabilities(run, arm)
    errors = compute_overconfident_errors(probabilities, weak_probabilities, run.test)
    return {**metrics, **({"overconfident_error_rate": errors} if errors else {})}


def compute_preference_probabilities(run: Run, arm: RunRow) -> dict[str, float]:
    """The model's probability that `a` is the better response, by test pair.

    From the implicit reward, σ(β · margin), or from the answer of a preference model. Empty if the row has neither.
    """
    if arm.policy_logprobs and arm.reference_logprobs:
        policy = load_logprobs(run.artifact(arm.policy_logprobs))
        reference = load_logprobs(run.artifact(arm.reference_logprobs))
        beta = _arm_beta(run, arm.name)
        margins = {pair.id: _reward_margin(policy[pair.id], reference[pair.id]) for pair in run.test}
        return {pair_id: _sigmoid(beta * margin) for pair_id, margin in margins.items()}
    predictions = run.annotations(arm.predictions) if arm.predictions else {}
    return {pair_id: label.p_a for pair_id, label in predictions.items() if label.p_a is not None}


def compute_overconfident_errors(
    student: Mapping[str, float], weak: Mapping[str, float], test: Sequence[Pair]
) -> dict[str, float]:
    """Overconfident errors by pair id, over human-labeled test pairs on which student and weak model disagree.

    1 if the student is more confident than the weak model and the human label agrees with the weak model, else 0.
    """
    errors = {}
    for pair in test:
        p_student, p_weak = student.get(pair.id, 0.5), weak.get(pair.id, 0.5)
        if pair.human is not None and (p_student - 0.5) * (p_weak - 0.5) < 0:
            is_wrong = (p_student > 0.5) != (pair.human == "a")
            errors[pair.id] = float(is_wrong and abs(p_student - 0.5) > abs(p_weak - 0.5))
    return errors


def _reward_margin(policy: ResponseScores, reference: ResponseScores) -> float:
    return (policy.a - reference.a) - (policy.b - reference.b)


def _arm_beta(run: Run, arm: str) -> float:
    training = run.study.training
    if arm == "weak_model":
        return (training.weak_dpo or training.dpo).beta
    settings = run.study.arms.get(find_arm(arm))
    own = settings.dpo if settings is not None else None
    return (own or training.dpo).beta


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
