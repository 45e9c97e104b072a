"""Metrics of labels: agreement with human labels, calibration, length bias, and how prompted labels came about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab import stats
from trimtab.stats import calibration
from trimtab.stats.calibration import ReliabilityBin
from trimtab.types import Annotation, Choice, Metric, Outcome, Pair

# By pair id.
Labels = Mapping[str, Annotation]
Choices = Mapping[str, Choice | None]
PromptIds = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationMetrics:
    """Calibration of probabilities; `calibration_error` has bins of equal mass."""

    brier: Metric
    log_loss: Metric
    calibration_error: Metric
    reliability: tuple[ReliabilityBin, ...]


def get_choices(labels: Labels) -> dict[str, Choice | None]:
    return {pair_id: label.choice for pair_id, label in labels.items()}


def get_human_choices(pairs: Sequence[Pair]) -> dict[str, Choice]:
    """The human labels, by pair id; pairs without one are left out."""
    return {pair.id: pair.human for pair in pairs if pair.human is not None}


def split_by_match(choices: Choices, reference: Choices) -> dict[str, list[str]]:
    """The pair ids on which both choices are the same (`match`) and on which they differ (`mismatch`).

    Pairs without a choice in both are in neither (Tao & Li 2025, table 1).
    """
    decided = [key for key, choice in choices.items() if choice is not None and reference.get(key) is not None]
    return {
        "match": [key for key in decided if choices[key] == reference[key]],
        "mismatch": [key for key in decided if choices[key] != reference[key]],
    }


def get_confidence(label: Annotation) -> float:
    """The probability of the chosen response, in [0.5, 1]; 0.5 without a probability."""
    return 0.5 if label.p_a is None else max(label.p_a, 1.0 - label.p_a)


def compute_coverage(labels: Labels) -> Metric:
    """The share of pairs whose label prefers a response; `n_failed` counts failed labels."""
    counts = Counter((label.choice is not None, label.status == "failed") for label in labels.values())
    num_choices, num_failed = (sum(n for key, n in counts.items() if key[part]) for part in (0, 1))
    return stats.proportion(num_choices, len(labels), num_failed)


def compute_agreement(labels: Labels, reference: Choices, prompt_ids: PromptIds | None) -> Metric:
    """The share of pairs with the same choice, over pairs that the reference labels.

    Intervals cluster by prompt; without `prompt_ids`, pairs count as independent.
    """
    return stats.agreement_rate(get_choices(labels), reference, clusters=prompt_ids)


def compute_kappa(labels: Labels, reference: Choices, prompt_ids: PromptIds | None) -> Metric:
    """Cohen's kappa, with the same clusters as `compute_agreement`."""
    return stats.cohen_kappa(get_choices(labels), reference, clusters=prompt_ids)


def compute_mean_confidence(labels: Labels, prompt_ids: PromptIds | None) -> Metric:
    return compute_clustered_mean({pair_id: get_confidence(label) for pair_id, label in labels.items()}, prompt_ids)


def compute_clustered_mean(values: Mapping[str, float], prompt_ids: PromptIds | None) -> Metric:
    """The mean over pairs, with an interval over prompts, or over pairs without `prompt_ids`."""
    clusters = [prompt_ids[pair_id] for pair_id in values] if prompt_ids is not None else None
    return stats.mean(list(values.values()), clusters=clusters)


def compute_higher_reward_rate(rewards: Mapping[str, tuple[float, float]], prompt_ids: PromptIds | None) -> Metric:
    """The share of pairs on which the first reward is higher, equal rewards counting one half.

    `rewards` are those of the chosen and the rejected response, by pair id (Tao & Li 2025, section 4).
    """
    outcomes: list[Outcome] = [
        "win" if chosen > rejected else "loss" if chosen < rejected else "tie" for chosen, rejected in rewards.values()
    ]
    return stats.win_rate(outcomes, clusters=None if prompt_ids is None else [prompt_ids[key] for key in rewards])


def compute_correctness(labels: Labels, human: Mapping[str, Choice]) -> dict[str, float]:
    """By pair: 1 if the label matches the human label, 0 if not, 0.5 if it prefers neither response."""
    return {
        pair_id: 0.5 if labels[pair_id].choice is None else float(labels[pair_id].choice == choice)
        for pair_id, choice in human.items()
        if pair_id in labels
    }


def compute_confidence_error(labels: Labels, human: Choices) -> Metric:
    """Expected calibration error of the confidence, over labels with a choice on human-labeled pairs."""
    judged = [
        (get_confidence(label), label.choice == human[pair_id])
        for pair_id, label in labels.items()
        if label.p_a is not None and label.choice is not None and human.get(pair_id) is not None
    ]
    return stats.expected_calibration_error(
        [confidence for confidence, _ in judged], [is_correct for _, is_correct in judged]
    )


def compute_calibration_metrics(
    p_a: Sequence[float], human: Sequence[Choice], prompt_ids: Sequence[str], seed: int
) -> CalibrationMetrics:
    """Calibration of probabilities against human labels, all in the same order."""
    return CalibrationMetrics(
        brier=calibration.brier_score(p_a, human, clusters=prompt_ids, seed=seed),
        log_loss=calibration.log_loss(p_a, human, clusters=prompt_ids, seed=seed),
        calibration_error=calibration.equal_mass_calibration_error(p_a, human),
        reliability=calibration.reliability_curve(p_a, human),
    )


def compute_agreement_by_length(labels: Labels, pairs: Sequence[Pair]) -> dict[str, Metric]:
    """Human agreement by whether humans prefer the longer response, and by thirds of the relative length difference.

    The relative difference is in characters, divided by the length of the longer response.
    """
    longer, shorter = ([pair for pair in pairs if _prefers_longer(pair) is value] for value in (True, False))
    ranked = sorted(pairs, key=lambda pair: (_relative_length_difference(pair), pair.id))
    bounds = [round(len(ranked) * third / 3) for third in range(4)]
    thirds = {
        name: ranked[bounds[third] : bounds[third + 1]]
        for third, name in enumerate(("small_difference", "medium_difference", "large_difference"))
    }
    groups = {"human_prefers_longer": longer, "human_prefers_shorter": shorter, **thirds}
    prompt_ids = {pair.id: pair.prompt_id for pair in pairs}
    return {name: compute_agreement(labels, get_human_choices(group), prompt_ids) for name, group in groups.items()}


def compute_length_correlation(labels: Labels, pairs: Sequence[Pair]) -> Metric:
    """Pearson correlation of the choice (+1 for `a`, -1 for `b`) with the length difference in characters."""
    signs: Mapping[Choice, float] = {"a": 1.0, "b": -1.0}
    labeled = [
        (signs[choice], float(pair.length_difference("a")))
        for pair in pairs
        if (choice := labels[pair.id].choice) is not None
    ]
    return stats.pearson([sign for sign, _ in labeled], [difference for _, difference in labeled])


def compute_label_order_inconsistency(labels: Labels) -> Metric | None:
    """The share of prompted labels whose verdicts differ between the two orders; None if no label records it."""
    return _rate_of_detail(_successful_details(labels), len(labels), "order_inconsistent", True)


def compute_prompting_metrics(labels: Labels) -> dict[str, Metric]:
    """Metrics of prompted labels; those that no label records are left out.

    Order inconsistency, also by criterion, decisions by the strong model, truncated generations, duplicate texts, and search
    depth. `n_failed` counts the labels that do not record the metric.
    """
    details = _successful_details(labels)
    rates = {
        "order_inconsistency": _rate_of_detail(details, len(labels), "order_inconsistent", True),
        "strong_decision_rate": _rate_of_detail(details, len(labels), "decided_by", "strong"),
        "truncation_rate": _rate(
            [
                detail[key] > 0
                for detail in details
                for key in ("num_truncated", "num_truncated_thoughts")
                if key in detail
            ],
            len(labels),
        ),
        "duplicate_text_rate": _rate(_are_texts_duplicated(details), len(labels)),
    }
    rates |= _compute_criterion_inconsistency(details, len(labels))
    metrics = {name: rate for name, rate in rates.items() if rate is not None}
    depths = [float(detail["depth"]) for detail in details if "depth" in detail]
    return {**metrics, **({"depth": stats.mean(depths, n_failed=len(labels) - len(depths))} if depths else {})}


def _compute_criterion_inconsistency(details: Sequence[Mapping[str, Any]], num_labels: int) -> dict[str, Metric | None]:
    """By `order_inconsistency.CRITERION`, the share of pairs on which the two orders of a criterion contradict each other."""
    criteria = [detail["criteria"] for detail in details if "criteria" in detail]
    return {
        f"order_inconsistency.{name}": _rate(
            [each[name]["order_inconsistent"] for each in criteria if "order_inconsistent" in each[name]], num_labels
        )
        for name in dict.fromkeys(name for each in criteria for name in each)
    }


def _successful_details(labels: Labels) -> list[Mapping[str, Any]]:
    return [label.detail for label in labels.values() if label.detail and label.status != "failed"]


def _rate_of_detail(details: Sequence[Mapping[str, Any]], num_labels: int, key: str, value: object) -> Metric | None:
    return _rate([detail[key] == value for detail in details if key in detail], num_labels)


def _rate(outcomes: Sequence[bool], num_labels: int) -> Metric | None:
    return stats.proportion(sum(outcomes), len(outcomes), num_labels - len(outcomes)) if outcomes else None


def _are_texts_duplicated(details: Sequence[Mapping[str, Any]]) -> list[bool]:
    """For each pair with generated text: whether every text also occurs verbatim for another pair."""
    texts_by_pair = [texts for detail in details if (texts := set(_iter_generated_texts(detail)))]
    num_pairs = Counter(text for texts in texts_by_pair for text in texts)
    return [all(num_pairs[text] > 1 for text in texts) for texts in texts_by_pair]


def _iter_generated_texts(detail: Mapping[str, Any]) -> Iterator[str]:
    """Reasoning, arguments, and the thought of a tree's deepest kept node, which is the one passed to the weak model."""
    kept = [node for node in detail.get("nodes", ()) if node["kept"]]
    yield from kept[-1]["thought"] if kept else ()
    yield from detail.get("reasoning", {}).values()
    for arguments in detail.get("arguments", {}).values():
        yield from (argument["text"] for argument in arguments)


def _prefers_longer(pair: Pair) -> bool | None:
    if pair.human is None or len(pair.a) == len(pair.b):
        return None
    return (len(pair.a) > len(pair.b)) == (pair.human == "a")


def _relative_length_difference(pair: Pair) -> float:
    return abs(len(pair.a) - len(pair.b)) / max(len(pair.a), len(pair.b), 1)
