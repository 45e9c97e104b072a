"""What there is to say of an arm's labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

from trimtab import stats
from trimtab.report.collect.histogram import build_label_histogram
from trimtab.report.model import LabelInfo
from trimtab.types import Annotation, Choice, Cost, Metric, Pair


def build_label_info(
    arm: str,
    annotator: str,
    annotations: Mapping[str, Annotation],
    pairs: Sequence[Pair],
    seconds: float,
    source: str = "",
    unfiltered: Mapping[str, Annotation] | None = None,
) -> LabelInfo:
    """Coverage, agreement with people, what labels go with, and what they cost.

    `pairs` are those that were labeled, `seconds` what that took, `source` the stage that did it; `before` are the labels
    before they were calibrated and filtered, where they were: where some were dropped, agreement is told of all, too.
    """
    human = {pair.id: pair.human for pair in pairs}
    choices = {key: each.choice for key, each in annotations.items()}
    n_failed = sum(each.status == "failed" for each in annotations.values())
    labeled = sum(choice is not None for choice in choices.values())
    metrics = {"coverage": stats.proportion(labeled, len(choices), n_failed)}
    if any(choice is not None for choice in human.values()):
        prompts = {pair.id: pair.prompt_id for pair in pairs}
        metrics["agreement"] = stats.agreement_rate(choices, human, clusters=prompts)
        if unfiltered is not None:
            everything = {key: each.choice for key, each in unfiltered.items()}
            metrics["agreement_before_filter"] = stats.agreement_rate(everything, human, clusters=prompts)
        metrics["kappa"] = stats.cohen_kappa(choices, human, clusters=prompts)
        metrics["calibration_error"] = _compute_calibration_error(annotations, human)
    metrics["length_correlation"] = _compute_length_correlation(pairs, annotations)
    metrics |= _compute_prompting_metrics(annotations)
    cost = reduce(add, (each.cost for each in annotations.values()), Cost())
    return LabelInfo(
        arm=arm,
        annotator=annotator,
        source=source,
        n_pairs=len(annotations),
        metrics=metrics,
        histogram=build_label_histogram({key: each.p_a for key, each in annotations.items()}, human),
        # answers that another arm had paid for took no time here
        cost=replace(cost, seconds=max(seconds, cost.seconds)),
    )


def _compute_calibration_error(annotations: Mapping[str, Annotation], human: Mapping[str, Choice | None]) -> Metric:
    """Of the labels that prefer a response, on pairs of which people said which is better."""
    both = [
        (each.p_a, each.choice == human[key])
        for key, each in annotations.items()
        if each.p_a is not None and each.choice is not None and human.get(key) is not None
    ]
    return stats.expected_calibration_error([max(p_a, 1.0 - p_a) for p_a, _ in both], [right for _, right in both])


def _compute_prompting_metrics(annotations: Mapping[str, Annotation]) -> dict[str, Metric]:
    """Of labels made by asking: how often the two orders contradict each other, how often the strong model decided, and how
    often the label rests on a text that ran into its limit, or on none that is of this pair alone."""
    details = [each.detail for each in annotations.values() if each.detail and each.status != "failed"]
    found = {}
    for name, key, said in (("order_inconsistency", "order_inconsistent", True), ("strong_decision_rate", "decided_by", "strong")):
        told = [detail[key] == said for detail in details if key in detail]
        if told:
            found[name] = stats.proportion(sum(told), len(told), len(annotations) - len(told))
    cuts = [detail[key] > 0 for detail in details for key in ("num_truncated", "num_truncated_thoughts") if key in detail]
    if cuts:
        found["truncation_rate"] = stats.proportion(sum(cuts), len(cuts), len(annotations) - len(cuts))
    written = [texts for detail in details if (texts := set(_iter_generated_texts(detail)))]
    if written:
        pairs = Counter(text for texts in written for text in texts)
        told = [all(pairs[text] > 1 for text in texts) for texts in written]
        found["duplicate_text_rate"] = stats.proportion(sum(told), len(told), len(annotations) - len(told))
    depths = [float(detail["depth"]) for detail in details if "depth" in detail]
    return {**found, **({"depth": stats.mean(depths, n_failed=len(annotations) - len(depths))} if depths else {})}


def _iter_generated_texts(detail: Mapping[str, Any]) -> Iterator[str]:
    """What a model wrote of the pair: of a tree the thought of its deepest node that stays, which is what it hands down."""
    stay = [node for node in detail.get("nodes", ()) if node["kept"]]
    yield from stay[-1]["thought"] if stay else ()
    yield from detail.get("reasoning", {}).values()
    for arguments in detail.get("arguments", {}).values():
        yield from (each["text"] for each in arguments)


def _compute_length_correlation(pairs: Sequence[Pair], annotations: Mapping[str, Annotation]) -> Metric:
    """Of the label (+1 for a) with the difference in characters, over the pairs that have a label."""
    signs: Mapping[Choice, float] = {"a": 1.0, "b": -1.0}
    both = [
        (signs[choice], float(len(pair.a) - len(pair.b)))
        for pair in pairs
        if (choice := annotations[pair.id].choice) is not None
    ]
    return stats.pearson([label for label, _ in both], [length for _, length in both])
