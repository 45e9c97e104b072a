"""How reliable raters are: agreement with each other, self-consistency on repeats, and side bias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from trimtab.labeling.events import RaterAnswer
from trimtab.labeling.pair_votes import HumanLabel, name_vote
from trimtab.labeling.rater_history import RaterHistory
from trimtab.stats import bounded_mean, cohen_kappa, krippendorff_alpha, proportion
from trimtab.types import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterReliability:
    """One rater's answers. Repeats count only in `self_consistency`.

    `self_consistency` is the share of repeated pairs with the same answer both times; raters do not know which pairs are
    repeats, and their sides are swapped. `left_share` is the share of preferences that were for the response on the left: sides
    are random, so 0.5 is expected.
    """

    rater: str
    num_preferences: int
    num_no_difference: int
    num_skipped: int
    median_seconds: float | None
    self_consistency: Metric
    left_share: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterPairAgreement:
    """Two raters' answers to the same pairs: the share of equal answers, and Cohen's kappa."""

    raters: tuple[str, str]
    agreement: Metric
    kappa: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterSummary:
    """`alpha` is Krippendorff's, of the answers a, b and no difference; None for a single rater."""

    raters: tuple[RaterReliability, ...]
    agreements: tuple[RaterPairAgreement, ...]
    alpha: Metric | None


def summarize_raters(histories: Mapping[str, RaterHistory], prompts: Mapping[str, str]) -> RaterSummary:
    """The reliability of all raters. `prompts` is the prompt's id by pair id; pairs of one prompt are not independent."""
    answers = {rater: [each for each in history.answers if not each.is_repeat] for rater, history in histories.items()}
    votes = {
        rater: {each.pair: name_vote(each) for each in given if each.choice != "skip"}
        for rater, given in answers.items()
    }
    return RaterSummary(
        raters=tuple(_describe_rater(rater, answers[rater], history.answers) for rater, history in histories.items()),
        agreements=tuple(_compare_raters(first, second, votes, prompts) for first, second in combinations(votes, 2)),
        alpha=krippendorff_alpha(list(votes.values()), clusters=prompts) if len(votes) > 1 else None,
    )


def format_rater_summary(summary: RaterSummary, labels: Sequence[HumanLabel]) -> str:
    """The summary as lines of text."""
    return "\n".join([_format_totals(labels), *_iter_rater_lines(summary), *_iter_agreement_lines(summary)])


def _describe_rater(
    rater: str, answers: Sequence[RaterAnswer], with_repeats: Sequence[RaterAnswer]
) -> RaterReliability:
    first_votes = {each.pair: name_vote(each) for each in answers if each.choice != "skip"}
    repeats = [each for each in with_repeats if each.is_repeat and each.choice != "skip" and each.pair in first_votes]
    preferences = [each for each in answers if each.preferred is not None]
    seconds = [each.milliseconds / 1000 for each in with_repeats if each.choice != "skip"]
    return RaterReliability(
        rater=rater,
        num_preferences=len(preferences),
        num_no_difference=sum(each.choice == "no_difference" for each in answers),
        num_skipped=sum(each.choice == "skip" for each in answers),
        median_seconds=median(seconds) if seconds else None,
        self_consistency=proportion(sum(name_vote(each) == first_votes[each.pair] for each in repeats), len(repeats)),
        left_share=proportion(sum(each.choice == "left" for each in preferences), len(preferences)),
    )


def _compare_raters(
    first: str, second: str, votes: Mapping[str, Mapping[str, str]], prompts: Mapping[str, str]
) -> RaterPairAgreement:
    shared = [pair_id for pair_id in votes[first] if pair_id in votes[second]]
    same = [float(votes[first][pair_id] == votes[second][pair_id]) for pair_id in shared]
    mine, theirs = ({pair_id: votes[rater][pair_id] for pair_id in shared} for rater in (first, second))
    return RaterPairAgreement(
        raters=(first, second),
        agreement=bounded_mean(same, clusters=[prompts[pair_id] for pair_id in shared]),
        kappa=cohen_kappa(mine, theirs, clusters=prompts),
    )


def _format_totals(labels: Sequence[HumanLabel]) -> str:
    with_preference = sum(label.to_annotation().choice is not None for label in labels)
    without_answer = sum(label.p_a is None for label in labels)
    ties = len(labels) - with_preference - without_answer
    return (
        f"pairs with a preferred response: {with_preference}, without: {ties}, skipped by every rater: {without_answer}"
    )


def _iter_rater_lines(summary: RaterSummary) -> Iterator[str]:
    for rater in summary.raters:
        pace = "" if rater.median_seconds is None else f"; {rater.median_seconds:.0f} s per pair (median)"
        yield (
            f"{rater.rater}: preferences {rater.num_preferences}, no difference {rater.num_no_difference}, skipped "
            f"{rater.num_skipped}{pace}"
        )
        yield f"  same answer on repeats: {_format_share(rater.self_consistency, 'repeats')}"
        yield f"  chose the left side: {_format_share(rater.left_share, 'preferences')}{_describe_side_bias(rater.left_share)}"


def _iter_agreement_lines(summary: RaterSummary) -> Iterator[str]:
    for pair in (each for each in summary.agreements if each.agreement.n):
        name = " and ".join(pair.raters)
        yield f"{name}: same answer {_format_share(pair.agreement, 'shared pairs')}, kappa {_format_coefficient(pair.kappa)}"
    if summary.alpha is not None and summary.alpha.n:
        yield f"Krippendorff's alpha of all raters: {_format_coefficient(summary.alpha)}, {summary.alpha.n} shared pairs"


def _describe_side_bias(share: Metric) -> str:
    if share.low is None or share.high is None or share.low <= 0.5 <= share.high:
        return ""
    return " (side bias: the interval excludes 50%)"


def _format_share(share: Metric, noun: str) -> str:
    if share.value is None:
        return f"no {noun}"
    interval = "" if share.low is None or share.high is None else f" [{100 * share.low:.0f}%, {100 * share.high:.0f}%]"
    return f"{100 * share.value:.0f}%{interval} of {share.n} {noun}"


def _format_coefficient(metric: Metric) -> str:
    if metric.value is None:
        return "undefined"
    return f"{metric.value:.2f}" + ("" if metric.low is None else f" [{metric.low:.2f}, {metric.high:.2f}]")
