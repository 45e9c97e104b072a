"""Metrics of judges: win rates, position inconsistency, vote agreement, and agreement with human labels and other judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from operator import add

from trimtab import stats
from trimtab.errors import DataError
from trimtab.stats.self_consistency import majority_shares
from trimtab.types import Choice, Cost, JudgeChoice, Metric, Outcome, SingleVerdict, Verdict

# By prompt id, by pair id, or by any other id that `Clusters` maps to a cluster.
Verdicts = Mapping[str, Verdict]
Clusters = Mapping[str, Hashable]

OUTCOMES: tuple[Outcome, ...] = ("win", "tie", "loss", "failed")
HUMAN_RATER = "human"
ON_RESPONSES, ON_TEST_PAIRS = "responses", "test pairs"
# A coin flip per order picks the same position twice in half of the comparisons.
CHANCE_RATE = 0.5
_MAX_LISTED_IDS = 3
_PREFERENCE_BY_OUTCOME: Mapping[Outcome, str] = {"win": "a", "loss": "b", "tie": "tie"}
_OPPOSITE_OUTCOME: Mapping[Outcome, Outcome] = {"win": "loss", "loss": "win", "tie": "tie", "failed": "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedArm:
    """One judge's results for one arm: the number of responses by outcome, and metrics."""

    counts: Mapping[Outcome, int]
    metrics: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCriterion:
    """How much one criterion of a judge counts, and metrics of the answers about it alone."""

    weight: float
    metrics: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterAgreement:
    """The agreement of two or more raters on items that all of them rated: arms' responses, or test pairs."""

    raters: tuple[str, ...]
    rated_items: str
    metrics: Mapping[str, Metric]


def summarize_arm_verdicts(verdicts: Verdicts, length_differences: Mapping[str, float]) -> JudgedArm:
    """Summarizes verdicts on an arm's responses, by prompt id.

    `length_differences` are the arm's response length minus the baseline's, in any unit.
    """
    prompt_ids = list(verdicts)
    outcomes = [verdicts[prompt_id].outcome for prompt_id in prompt_ids]
    counts = Counter(outcomes)
    metrics = {
        "win_rate": stats.win_rate(outcomes, clusters=prompt_ids),
        "length_controlled_win_rate": stats.length_controlled_win_rate(
            outcomes, [length_differences[prompt_id] for prompt_id in prompt_ids], clusters=prompt_ids
        ),
        "order_inconsistency": compute_order_inconsistency(verdicts, {key: key for key in prompt_ids}),
    }
    return JudgedArm(counts={outcome: counts[outcome] for outcome in OUTCOMES}, metrics=metrics)


def compute_order_inconsistency(verdicts: Verdicts, clusters: Clusters) -> Metric:
    """The share of comparisons whose two orders pick the same position, among those that were parsed in both orders."""
    both_orders = {key: v for key, v in verdicts.items() if v.forward is not None and v.reversed is not None}
    inconsistent = {key: verdict.is_order_inconsistent for key, verdict in both_orders.items()}
    parsed = {key: float(value) for key, value in inconsistent.items() if value is not None}
    return stats.bounded_mean(
        list(parsed.values()),
        null=CHANCE_RATE,
        n_failed=len(both_orders) - len(parsed),
        clusters=[clusters[key] for key in parsed],
    )


def compute_first_position_rate(verdicts: Verdicts, clusters: Clusters) -> Metric:
    """The share of single verdicts for the first position, among those that pick a position."""
    choices = [
        (key, single.choice)
        for key, verdict in verdicts.items()
        for single in (verdict.forward, verdict.reversed)
        if single is not None and single.choice not in (None, "tie")
    ]
    return stats.bounded_mean(
        [float(choice == "first") for _, choice in choices], clusters=[clusters[key] for key, _ in choices]
    )


def compute_vote_agreement(verdicts: Verdicts, clusters: Clusters) -> dict[str, Metric]:
    """For a judge that votes several times per order: the mean share of the majority, and the same corrected for chance.

    Votes for a tie and votes that cannot be parsed do not count. Empty if the judge votes once.
    """
    votes = _list_votes(verdicts)
    if not votes:
        return {}
    consistency = stats.vote_consistency(votes, clusters=_cluster_votes(votes, clusters))
    return {"vote_agreement": consistency.majority, "self_consistency": consistency.chance_corrected}


def compute_vote_agreement_gap(match: Verdicts, mismatch: Verdicts, clusters: Clusters) -> dict[str, Metric]:
    """The vote agreement on pairs on which the weak label matches the human label, minus that on pairs on which it does not
    (Tao & Li 2025, table 5: 0.84 - 0.66). Empty without repeated votes on both."""
    shares = [compute_majority_shares(verdicts) for verdicts in (match, mismatch)]
    if not all(shares):
        return {}
    return {
        "vote_agreement_gap": stats.group_difference(
            *shares, clusters=_cluster_votes({**shares[0], **shares[1]}, clusters)
        )
    }


def compute_majority_shares(verdicts: Verdicts) -> dict[str, float]:
    """The fraction of repeated votes for the majority, by ORDER/ID. Empty if the judge votes once."""
    return majority_shares(_list_votes(verdicts))


def _list_votes(verdicts: Verdicts) -> dict[str, list[Choice | None]]:
    """The votes in each order that a judge was queried in, by ORDER/ID; None for a tie and for a vote that was not parsed."""
    choices: Mapping[JudgeChoice, Choice] = {"first": "a", "second": "b"}
    return {
        f"{order}/{key}": [None if vote is None else choices.get(vote) for vote in single.votes]
        for key, verdict in verdicts.items()
        for order, single in enumerate((verdict.forward, verdict.reversed))
        if single is not None and single.votes
    }


def _cluster_votes(keys: Iterable[str], clusters: Clusters) -> dict[str, Hashable]:
    return {key: clusters[key.partition("/")[2]] for key in keys}


def compute_human_agreement(verdicts: Verdicts, human: Mapping[str, Choice], clusters: Clusters) -> dict[str, Metric]:
    """Agreement of a judge's verdicts on `a` with human labels, by pair id.

    `human_agreement` counts a tie as one half; `kappa` treats ties as a separate category.
    """
    keys = [key for key in verdicts if key in human]
    correct = [_orient_outcome(verdicts[key].outcome, human[key]) for key in keys]
    return {
        "human_agreement": stats.win_rate(correct, clusters=[clusters[key] for key in keys]),
        "kappa": stats.cohen_kappa(
            to_preferences({key: verdicts[key] for key in keys}), {key: human[key] for key in keys}, clusters=clusters
        ),
    }


def compute_weak_agreement(verdicts: Verdicts, weak: Mapping[str, Choice], clusters: Clusters) -> Metric:
    """How often verdicts on `a` prefer the weak label's choice to the other response, by pair id; a tie counts one half.

    On pairs where the weak label differs from the human label, it is one minus the agreement with the human label (Tao & Li
    2025, section 4: 46% for GPT-4).
    """
    keys = [key for key in verdicts if key in weak]
    outcomes = [_orient_outcome(verdicts[key].outcome, weak[key]) for key in keys]
    return stats.win_rate(outcomes, clusters=[clusters[key] for key in keys])


def summarize_criteria(
    verdicts: Verdicts, on_pairs: Verdicts, human: Mapping[str, Choice], clusters: Clusters
) -> dict[str, JudgedCriterion]:
    """By criterion, the position inconsistency of the answers over all `verdicts`, and their agreement with human labels on
    `on_pairs`. Empty if the judge is not asked about criteria."""
    weights = {
        name: weight
        for verdict in verdicts.values()
        if verdict.forward is not None
        for name, weight in verdict.forward.weights.items()
    }
    return {
        name: JudgedCriterion(weight=weight, metrics=_measure_criterion(name, verdicts, on_pairs, human, clusters))
        for name, weight in weights.items()
    }


def _measure_criterion(
    name: str, verdicts: Verdicts, on_pairs: Verdicts, human: Mapping[str, Choice], clusters: Clusters
) -> dict[str, Metric]:
    answers = {key: _read_criterion(verdict, name) for key, verdict in verdicts.items()}
    metrics = {"order_inconsistency": compute_order_inconsistency(answers, clusters)}
    if on_pairs:
        agreement = compute_human_agreement({key: answers[key] for key in on_pairs}, human, clusters)
        metrics["human_agreement"] = agreement["human_agreement"]
    return metrics


def _read_criterion(verdict: Verdict, name: str) -> Verdict:
    """The verdict by one criterion alone. One that failed or was not asked for stays as it is."""
    if verdict.forward is None or verdict.reversed is None or verdict.outcome == "failed":
        return verdict
    forward, reverse = verdict.forward.criteria[name], verdict.reversed.criteria[name]
    margin = forward - reverse
    return Verdict(
        id=verdict.id,
        outcome="tie" if margin == 0 else "win" if margin > 0 else "loss",
        forward=SingleVerdict(choice=_read_choice(forward)),
        reversed=SingleVerdict(choice=_read_choice(reverse)),
    )


def _read_choice(probability_first: float) -> JudgeChoice:
    if probability_first == 0.5:
        return "tie"
    return "first" if probability_first > 0.5 else "second"


def count_unparsed_ties(verdicts: Verdicts) -> int:
    """The number of outcomes to which a verdict contributed that could not be parsed and counts as a tie."""
    return sum(
        verdict.outcome != "failed"
        and any(single is not None and single.choice is None for single in (verdict.forward, verdict.reversed))
        for verdict in verdicts.values()
    )


def queries_one_order(verdicts: Verdicts) -> bool:
    """Whether the judge compared responses in one presentation order only."""
    return any((verdict.forward is None) != (verdict.reversed is None) for verdict in verdicts.values())


def to_preferences(verdicts: Verdicts) -> dict[str, str | None]:
    """Outcomes as rater categories: `a` for the first response, `b` for the second, `tie`; None if the verdict failed."""
    return {key: _PREFERENCE_BY_OUTCOME.get(verdict.outcome) for key, verdict in verdicts.items()}


def compute_rater_agreements(
    judges: Mapping[str, Verdicts], rated_items: str, clusters: Clusters, human: Mapping[str, Choice] | None = None
) -> list[RaterAgreement]:
    """The agreement of every two raters, and of all raters if there are more than two.

    `human` labels count as one more rater. Raises `DataError` with the ids that only one of two judges judged.
    """
    _require_same_items(judges)
    ratings: dict[str, Mapping[str, str | None]] = {name: to_preferences(each) for name, each in judges.items()}
    if human is not None and judges:
        judged = next(iter(judges.values()))
        ratings[HUMAN_RATER] = {key: choice for key, choice in human.items() if key in judged}
    groups = [*combinations(ratings, 2), *([tuple(ratings)] if len(ratings) > 2 else [])]
    return [
        RaterAgreement(
            raters=group,
            rated_items=rated_items,
            metrics=_compute_agreement([ratings[rater] for rater in group], clusters),
        )
        for group in groups
    ]


def _orient_outcome(outcome: Outcome, choice: Choice) -> Outcome:
    """The outcome of the chosen response, from that of `a`."""
    return outcome if choice == "a" else _OPPOSITE_OUTCOME[outcome]


def sum_costs(verdicts: Sequence[Verdicts]) -> Cost:
    return reduce(add, (verdict.cost for group in verdicts for verdict in group.values()), Cost())


def _compute_agreement(ratings: Sequence[Mapping[str, str | None]], clusters: Clusters) -> dict[str, Metric]:
    alpha = stats.krippendorff_alpha(ratings, clusters=clusters)
    if len(ratings) > 2:
        return {"alpha": alpha}
    return {"kappa": stats.cohen_kappa(*ratings, clusters=clusters), "alpha": alpha}


def _require_same_items(judges: Mapping[str, Verdicts]) -> None:
    for (first, first_verdicts), (second, second_verdicts) in combinations(judges.items(), 2):
        unshared = sorted(set(first_verdicts) ^ set(second_verdicts))
        if unshared:
            listed = ", ".join(unshared[:_MAX_LISTED_IDS]) + (", …" if len(unshared) > _MAX_LISTED_IDS else "")
            raise DataError(
                f"judges {first} and {second} judged different ids: {len(unshared)} have a verdict of only one ({listed})"
            )
