"""What judges say of the rows' answers, and what their word is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from itertools import combinations
from operator import add
from typing import Any

from trimtab import stats
from trimtab.errors import DataError
from trimtab.types import Choice, Cost, JudgeChoice, Metric, Outcome, Verdict

Verdicts = Mapping[str, Verdict]
Clusters = Mapping[str, Hashable]

OUTCOMES: tuple[Outcome, ...] = ("win", "tie", "loss", "failed")
HUMAN_RATER = "people"
ON_RESPONSES, ON_TEST_PAIRS = "answers", "test pairs"
# A coin in each order names the same place twice on half of what it compares.
CHANCE_RATE = 0.5
# Past this share of verdicts that could not be read the others may be the easy ones.
MAX_FAILURE_RATE = 0.2
_MAX_LISTED_IDS = 3
_PREFERENCE_BY_OUTCOME: Mapping[Outcome, str] = {"win": "a", "loss": "b", "tie": "tie"}
_OPPOSITE_OUTCOME: Mapping[Outcome, Outcome] = {"win": "loss", "loss": "win", "tie": "tie", "failed": "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedArm:
    """One row by one judge: how many answers came out how, and its figures."""

    counts: Mapping[Outcome, int]
    metrics: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeInfo:
    """One judge. `rows` are those whose answers it compared with those of the row `against`; `figures` are over all that it
    compared, pairs that people labeled included; `warnings` are sentences on what it is not good for."""

    name: str
    engine: str
    baseline: str
    arms: Mapping[str, JudgedArm]
    metrics: Mapping[str, Metric]
    warnings: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterAgreement:
    """How far two or more raters agree on what they all rated: the rows' answers, or the responses of test pairs."""

    raters: tuple[str, ...]
    rated_items: str
    metrics: Mapping[str, Metric]


def summarize_arm_verdicts(verdicts: Verdicts, length_differences: Mapping[str, float]) -> JudgedArm:
    """`verdicts` on a row's answers by prompt id; `leads` says how much longer its answer is than the other, in any unit."""
    keys = list(verdicts)
    outcomes = [verdicts[key].outcome for key in keys]
    counted = Counter(outcomes)
    figures = {
        "win_rate": stats.win_rate(outcomes, clusters=keys),
        "length_controlled_win_rate": stats.length_controlled_win_rate(
            outcomes, [length_differences[key] for key in keys], clusters=keys
        ),
        "order_flips": compute_order_inconsistency(verdicts, {key: key for key in keys}),
    }
    return JudgedArm(counts={each: counted[each] for each in OUTCOMES}, metrics=figures)


def compute_order_inconsistency(verdicts: Verdicts, clusters: Clusters) -> Metric:
    """The share of what was asked in both orders, and read in both, on which the same place was named twice."""
    asked = {key: each for key, each in verdicts.items() if each.forward is not None and each.reversed is not None}
    flips = {key: each.is_order_inconsistent for key, each in asked.items()}
    read = {key: float(flip) for key, flip in flips.items() if flip is not None}
    failed = len(asked) - len(read)
    return stats.bounded_mean(
        list(read.values()), null=CHANCE_RATE, n_failed=failed, clusters=[clusters[key] for key in read]
    )


def compute_first_position_rate(verdicts: Verdicts, clusters: Clusters) -> Metric:
    """The share of readings that name a place and name the first."""
    named = [
        (key, reading.choice)
        for key, each in verdicts.items()
        for reading in (each.forward, each.reversed)
        if reading is not None and reading.choice not in (None, "tie")
    ]
    return stats.bounded_mean(
        [float(name == "first") for _, name in named], clusters=[clusters[key] for key, _ in named]
    )


def compute_vote_agreement(verdicts: Verdicts, clusters: Clusters) -> dict[str, Metric]:
    """Of a judge that was asked several times in each order: the mean share of an order's votes that most of them are, and
    the same beyond chance. Votes for a tie and those that could not be read do not count. Nothing for one that was asked once.
    """
    choices: Mapping[JudgeChoice, Choice] = {"first": "a", "second": "b"}
    votes = {
        (key, place): [None if vote is None else choices.get(vote) for vote in reading.votes]
        for key, each in verdicts.items()
        for place, reading in enumerate((each.forward, each.reversed))
        if reading is not None and reading.votes
    }
    if not votes:
        return {}
    orders = {f"{place}/{key}": clusters[key] for key, place in votes}
    found = stats.vote_consistency({f"{place}/{key}": each for (key, place), each in votes.items()}, clusters=orders)
    return {"vote_majority": found.majority, "vote_consistency": found.chance_corrected}


def compute_human_agreement(verdicts: Verdicts, human: Mapping[str, Choice], clusters: Clusters) -> dict[str, Metric]:
    """How far a judge's outcomes for `a` are what people preferred, by pair id: a share with ties as halves, and kappa with
    ties as a verdict of their own."""
    keys = [key for key in verdicts if key in human]
    right: list[Outcome] = [
        verdicts[key].outcome if human[key] == "a" else _OPPOSITE_OUTCOME[verdicts[key].outcome] for key in keys
    ]
    return {
        "with_people": stats.win_rate(right, clusters=[clusters[key] for key in keys]),
        "kappa": stats.cohen_kappa(
            to_preferences({key: verdicts[key] for key in keys}), {key: human[key] for key in keys}, clusters=clusters
        ),
    }


def to_preferences(verdicts: Verdicts) -> dict[str, str | None]:
    """The outcomes as raters give them: `a` for the first answer, `b` for the other, `tie`; None where it failed."""
    return {key: _PREFERENCE_BY_OUTCOME.get(each.outcome) for key, each in verdicts.items()}


def compute_rater_agreements(
    judges: Mapping[str, Verdicts], rated_items: str, clusters: Clusters, human: Mapping[str, Choice] | None = None
) -> list[RaterAgreement]:
    """Every two raters, and all of them where they are more; `human` are people's choices, where they are raters too.

    Raises `DataError` with the ids where two judges did not judge the same.
    """
    _require_same_items(judges)
    raters: dict[str, Mapping[str, str | None]] = {name: to_preferences(each) for name, each in judges.items()}
    if human is not None and judges:
        known = next(iter(judges.values()))
        raters[HUMAN_RATER] = {key: choice for key, choice in human.items() if key in known}
    groups = [*combinations(raters, 2), *([tuple(raters)] if len(raters) > 2 else [])]
    return [
        RaterAgreement(
            raters=group,
            rated_items=rated_items,
            metrics=_compute_agreement([raters[each] for each in group], clusters),
        )
        for group in groups
    ]


def build_judge_warnings(name: str, metrics: Mapping[str, Metric], n_failed: int, n: int) -> tuple[str, ...]:
    """What a reader must know before believing this judge, none of it more than the intervals allow."""
    return tuple(
        filter(
            None,
            [
                _build_failure_warning(name, n_failed, n),
                _build_position_bias_warning(name, metrics),
                _build_human_agreement_warning(name, metrics),
            ],
        )
    )


def sum_costs(verdicts: Sequence[Verdicts]) -> Cost:
    return reduce(add, (each.cost for some in verdicts for each in some.values()), Cost())


def judge_to_json(info: JudgeInfo | RaterAgreement) -> dict[str, Any]:
    """As JSON holds it."""
    return asdict(info)


def judge_from_json(document: Mapping[str, Any]) -> JudgeInfo:
    """What `plain` gave. Raises `KeyError` or `TypeError` where a part is missing or of another kind."""
    rows = {
        name: JudgedArm(counts=row["counts"], metrics=_metrics_from_json(row["figures"]))
        for name, row in document["rows"].items()
    }
    told = {
        "rows": rows,
        "figures": _metrics_from_json(document["figures"]),
        "warnings": tuple(document["warnings"]),
        "cost": Cost(**document["cost"]),
    }
    return JudgeInfo(**{**document, **told})


def agreement_from_json(document: Mapping[str, Any]) -> RaterAgreement:
    """The same of an agreement."""
    return RaterAgreement(
        raters=tuple(document["raters"]), rated_items=document["on"], metrics=_metrics_from_json(document["figures"])
    )


def _compute_agreement(raters: Sequence[Mapping[str, str | None]], clusters: Clusters) -> dict[str, Metric]:
    alpha = stats.krippendorff_alpha(raters, clusters=clusters)
    if len(raters) > 2:
        return {"alpha": alpha}
    return {"kappa": stats.cohen_kappa(*raters, clusters=clusters), "alpha": alpha}


def _require_same_items(judges: Mapping[str, Verdicts]) -> None:
    for (one, ours), (other, theirs) in combinations(judges.items(), 2):
        alone = sorted(set(ours) ^ set(theirs))
        if alone:
            listed = ", ".join(alone[:_MAX_LISTED_IDS]) + (", …" if len(alone) > _MAX_LISTED_IDS else "")
            raise DataError(f"judges {one} and {other}: {len(alone)} ids were judged by one of them alone ({listed})")


def _build_failure_warning(name: str, failed: int, n: int) -> str:
    if failed <= MAX_FAILURE_RATE * n:
        return ""
    return f"Judge {name} could not be read on {failed} of {n} comparisons; its figures speak of the others alone."


def _build_position_bias_warning(name: str, figures: Mapping[str, Metric]) -> str:
    flips = figures["order_flips"]
    if flips.value is None or (flips.high is not None and flips.high < CHANCE_RATE):
        return ""
    often = f"{_format_rate(flips)} of {flips.n} comparisons"
    if flips.low is None:
        return f"Judge {name} names the same place in both orders on {often}: too few to tell it from a coin."
    if flips.low > CHANCE_RATE:
        return (
            f"Judge {name} is unusable: it names the same place in both orders on {often}, where a coin would on one half. Its "
            "verdicts say where an answer stands and not how good it is."
        )
    return (
        f"Judge {name} names the same place in both orders on {often}: at this size it is not told apart from a coin."
    )


def _build_human_agreement_warning(name: str, figures: Mapping[str, Metric]) -> str:
    agreed = figures.get("with_people")
    if agreed is None or agreed.value is None or (agreed.low is not None and agreed.low > CHANCE_RATE):
        return ""
    figure = f"{_format_rate(agreed)} (n = {agreed.n} pairs, ties as halves)"
    if agreed.high is not None and agreed.high < CHANCE_RATE:
        return f"Judge {name} prefers what people do not: it agrees with them on {figure}."
    return f"Judge {name} is not told apart from a coin by its agreement with people, {figure}."


def _format_rate(metric: Metric) -> str:
    between = "" if metric.low is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.value:.3f}{between}"


def _metrics_from_json(document: Mapping[str, Any]) -> dict[str, Metric]:
    return {name: Metric(**figure) for name, figure in document.items()}
