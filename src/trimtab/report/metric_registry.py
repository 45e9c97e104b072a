"""How each metric is named, written and explained: the one table behind every page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from trimtab.types import Metric

BetterDirection = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """How a metric is shown. `rows` is the plural of what its `n` counts, `lost` what is said of those that have no figure;
    `meaning` is one sentence for readers; `digits` is the decimals of figures below ten."""

    name: str
    label: str
    better: BetterDirection
    count_noun: str
    description: str
    unit: str = ""
    digits: int = 3
    missing_text: str = "failed"


METRICS: Mapping[str, MetricInfo] = {
    info.name: info
    for info in (
        MetricInfo(
            name="gold_reward",
            label="Gold reward",
            better="higher",
            count_noun="prompts",
            description="What a scorer that no arm was trained on gives to the model's answers, averaged over prompts.",
        ),
        MetricInfo(
            name="proxy_reward",
            label="Proxy reward",
            better="higher",
            count_noun="prompts",
            description="What a reward model that the study trained on human pairs of its own gives to the model's answers, "
            "averaged over prompts. It stands in for people as far as it agrees with them, and its unit means nothing alone.",
        ),
        MetricInfo(
            name="accuracy",
            label="Accuracy",
            better="higher",
            count_noun="pairs",
            description="The share of human-labeled test pairs on which the model prefers what people preferred: by its implicit "
            "reward, β log π(y|x) / π_ref(y|x) (Rafailov et al. 2023, section 4), or asked in both orders where students "
            "learn to say which response is better.",
        ),
        MetricInfo(
            name="length",
            label="Length",
            better="neither",
            count_noun="prompts",
            unit="tokens",
            digits=2,
            description="Tokens in a generated answer. Judges and rewards often favor length: read the rest beside it.",
        ),
        MetricInfo(
            name="ended",
            label="Ended",
            better="higher",
            count_noun="prompts",
            description="The share of generated answers that the model ended by itself, before the length limit.",
        ),
        MetricInfo(
            name="refusals",
            label="Refusals",
            better="neither",
            count_noun="prompts",
            description="The share of answers that begin by refusing, by a list of phrases: refusals in other words are not found.",
        ),
        MetricInfo(
            name="distinct",
            label="Distinct bigrams",
            better="neither",
            count_noun="prompts",
            description="The share of an answer's pairs of neighboring words that are different ones (distinct-2, Li et al. 2016): "
            "1 where nothing is repeated. Longer answers repeat more.",
        ),
        MetricInfo(
            name="divergence",
            label="KL to reference",
            better="neither",
            count_noun="prompts",
            unit="nats",
            digits=2,
            description="log π(y|x) − log π_ref(y|x) of the policy's own answers: how far it moved from where DPO began. "
            "Answers are sampled at the study's temperature, so below 1 it is not the KL of the whole policy.",
        ),
        MetricInfo(
            name="surer_and_wrong",
            label="Surer and wrong",
            better="lower",
            count_noun="pairs",
            description="Of the test pairs on which the student and the weak model prefer different responses, the share on which "
            "the student is the surer of the two and people are with the weak model.",
        ),
        MetricInfo(
            name="cosine",
            label="Similarity",
            better="neither",
            count_noun="prompts",
            description="The cosine of two answers' vectors by a sentence encoder, over prompts: 1 is the same meaning, about 0 "
            "none in common. `preferred` are the responses that people preferred. Longer texts are more alike.",
        ),
        MetricInfo(
            name="pgr",
            label="Gap recovered",
            better="higher",
            count_noun="pairs",
            description="Performance gap recovered, (student − weak) / |ceiling − weak| (Li et al. 2025, equation 4). "
            "Undefined where the interval of the gap touches zero; the interval is Fieller's (1954).",
        ),
        MetricInfo(
            name="agreement",
            missing_text="without a label",
            label="Agreement",
            better="higher",
            count_noun="pairs",
            description="The share of labeled pairs on which the label and the human label name the same response.",
        ),
        MetricInfo(
            name="agreement_all",
            missing_text="without a label",
            label="Agreement, all",
            better="higher",
            count_noun="pairs",
            description="Agreement of all labels, before the arm's filter chose which of them are kept.",
        ),
        MetricInfo(
            name="kappa",
            label="Kappa",
            better="higher",
            count_noun="pairs",
            description="Agreement beyond chance, (observed − expected) / (1 − expected) (Cohen 1960).",
        ),
        MetricInfo(
            name="coverage",
            label="Coverage",
            better="higher",
            count_noun="pairs",
            description="The share of pairs that got a label: the rest abstained, failed or were filtered out.",
        ),
        MetricInfo(
            name="label_tokens",
            label="Tokens a pair",
            better="lower",
            count_noun="pairs",
            digits=2,
            description="Tokens that labeling computed, read and written, over the pairs that were labeled: a count.",
        ),
        MetricInfo(
            name="label_seconds",
            label="Seconds a pair",
            better="lower",
            count_noun="pairs",
            description="What labeling took, over the pairs that were labeled; it speaks of the machine as well.",
        ),
        MetricInfo(
            name="order_flips",
            label="Order flips",
            better="lower",
            count_noun="pairs",
            description="The share of what was asked in both orders on which the two verdicts contradict each other.",
        ),
        MetricInfo(
            name="win_rate",
            label="Win rate",
            better="higher",
            count_noun="prompts",
            description="How often a judge prefers the answer to that of the row it is compared with, a tie counting half: 0.5 is "
            "as good as that row.",
        ),
        MetricInfo(
            name="length_controlled_win_rate",
            label="Win rate, length-controlled",
            better="higher",
            count_noun="prompts",
            description="The win rate to be expected were both answers equally long (after Dubois et al. 2024).",
        ),
        MetricInfo(
            name="first_named",
            label="Names the first",
            better="neither",
            count_noun="readings",
            description="How often a judge that names a place names the first: far from 0.5 it prefers a place.",
        ),
        MetricInfo(
            name="vote_majority",
            label="Votes alike",
            better="higher",
            count_noun="questions",
            description="The mean share of a question's votes that went to the winner of most: 0.623 for ten flips of a coin.",
        ),
        MetricInfo(
            name="vote_consistency",
            label="Consistency",
            better="higher",
            count_noun="questions",
            description="Votes that are alike, beyond a coin's: (share − coin's) / (1 − coin's). 0 is a coin's, 1 that "
            "of a judge that always repeats itself.",
        ),
        MetricInfo(
            name="with_people",
            label="Agrees with people",
            better="higher",
            count_noun="pairs",
            description="How often a judge prefers the response that people preferred, a tie counting one half: 0.5 is a coin's.",
        ),
        MetricInfo(
            name="alpha",
            label="Alpha",
            better="higher",
            count_noun="comparisons",
            description="Krippendorff's alpha (2011) of the verdicts a, b and tie: 1 is full agreement, 0 is chance.",
        ),
        MetricInfo(
            name="strong_decided",
            label="Strong decided",
            better="neither",
            count_noun="pairs",
            description="The share of pairs whose label is the strong model's own pick instead of the weak model's decision.",
        ),
        MetricInfo(
            name="cut_short",
            label="Cut short",
            better="lower",
            count_noun="pairs",
            description="The share of pairs for whose label a thought or an argument was written up to its limit and broke off.",
        ),
        MetricInfo(
            name="said_of_others",
            label="Said of others",
            better="lower",
            count_noun="pairs",
            description="The share of pairs of which a model wrote nothing that it did not also write of another, word for word.",
        ),
        MetricInfo(
            name="depth",
            label="Tree depth",
            better="neither",
            count_noun="pairs",
            digits=2,
            description="Levels of the searched tree whose information still grew (SEAM).",
        ),
        MetricInfo(
            name="backtracks",
            label="Steps back",
            better="neither",
            count_noun="pairs",
            digits=2,
            description="How often the search of a tree left a thought that told less than the one before (SEAM).",
        ),
        MetricInfo(
            name="backtracked",
            label="Went back",
            better="neither",
            count_noun="pairs",
            description="The share of trees whose search took at least one step back (SEAM).",
        ),
        MetricInfo(
            name="information",
            label="Information",
            better="higher",
            count_noun="nodes",
            unit="bits",
            description="1 − H(p) of the strong model's probability given a thought: 0 where it is undecided, 1 where it is sure.",
        ),
        MetricInfo(
            name="nodes_kept",
            label="Nodes that stay",
            better="neither",
            count_noun="nodes",
            description="The share of a level's nodes that stay: not stepped back from, and not below one that told nothing new.",
        ),
        MetricInfo(
            name="principle_use",
            label="Principle use",
            better="neither",
            count_noun="trees",
            description="The share of trees that have the principle on the path that stays.",
        ),
        MetricInfo(
            name="length_correlation",
            label="Length corr.",
            better="neither",
            count_noun="pairs",
            description="Pearson's correlation of the label with the difference in length of the two responses "
            "(interval: Fisher 1921). Far from zero, the labeler may be measuring length.",
        ),
        MetricInfo(
            name="calibration_error",
            label="Calib. error",
            better="lower",
            count_noun="pairs",
            description="Expected calibration error, Σ (n_bin / n) |agreement − mean probability| (Naeini et al. 2015).",
        ),
    )
}


def get_metric_info(name: str) -> MetricInfo:
    """How to show a metric: `gold_reward.short` is `gold_reward` by the scorer `short`; others show as they are."""
    family, _, variant = name.partition(".")
    known = METRICS.get(family)
    if known is None:
        return MetricInfo(name=name, label=name, better="neither", count_noun="rows", description="")
    if not variant:
        return known
    return replace(known, name=name, label=f"{known.label} ({variant})")


def format_value(metric: Metric, info: MetricInfo, *, signed: bool = False) -> tuple[str, str]:
    """The value and its interval as people read them, such as `0.612` and `[0.580, 0.641]`.

    Where there are no rows a value is an en dash; one that its rows leave undefined says so. A missing interval is the empty
    string. Large figures get fewer decimals; a bound that is not zero gets as many as it takes not to look like it, up to six.
    """
    digits = _count_decimals(metric, info)
    missing = "undefined" if metric.n else "–"
    value = missing if metric.value is None else _format_number(metric.value, digits, signed)
    if metric.low is None or metric.high is None:
        return value, ""
    return value, f"[{_format_number(metric.low, digits)}, {_format_number(metric.high, digits)}]"


def _count_decimals(metric: Metric, info: MetricInfo) -> int:
    figures = [abs(each) for each in (metric.value, metric.low, metric.high) if each is not None]
    largest = max(figures, default=0.0)
    digits = max(0, info.digits - max(0, math.floor(math.log10(largest)))) if largest else info.digits
    bounds = [abs(each) for each in (metric.low, metric.high) if each]
    smallest = min(bounds, default=1.0)
    return min(6, max(digits, math.ceil(-math.log10(2 * smallest)))) if smallest < 1 else digits


def _format_number(value: float, digits: int, signed: bool = False) -> str:
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    if value < 0:
        return f"−{text}"
    return f"+{text}" if signed else text
