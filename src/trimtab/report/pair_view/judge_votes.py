"""The verdicts and votes of judges on the two responses of a pair (Tao & Li 2025, table 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trimtab.report.pair_view.provenance import ORDER_LABELS
from trimtab.report.run_reader import Run
from trimtab.report.value_format import format_number
from trimtab.storage.verdict_schema import load_verdicts
from trimtab.types import JudgeChoice, Outcome, SingleVerdict, Verdict

# Verdicts on pairs have response a as candidate.
_PREFERENCES: Mapping[Outcome, str] = {"win": "a", "loss": "b", "tie": "tie", "failed": "failed"}
_ORDERS: Mapping[str, Mapping[JudgeChoice | None, str]] = {
    "a_first": {"first": "a", "second": "b", "tie": "tie", None: "–"},
    "b_first": {"first": "b", "second": "a", "tie": "tie", None: "–"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVerdict:
    """One judge's verdict on the two responses of a pair."""

    judge: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A judge's verdict in one order: `votes` and `choice` name responses, – for a reply that could not be parsed.

    `outcome` is that of all orders together.
    """

    judge: str
    order: str
    votes: str
    choice: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionRow:
    """A judge's answer about one criterion: its weight, and the probability of `a` in each order."""

    judge: str
    criterion: str
    weight: str
    p_a_first: str
    p_b_first: str


def load_pair_verdicts(run: Run, pair_id: str) -> tuple[PairVerdict, ...]:
    """The verdicts of all judges on an unlabeled or a test pair; empty if none judged it."""
    stages = (*run.index.unlabeled_verdicts.items(), *run.index.human_verdicts.items())
    by_judge = ((judge, load_verdicts(run.artifact(stage))) for judge, stage in stages if run.is_finished(stage))
    return tuple(
        PairVerdict(judge=judge, verdict=verdicts[pair_id]) for judge, verdicts in by_judge if pair_id in verdicts
    )


def build_verdict_rows(verdicts: Sequence[PairVerdict]) -> list[VerdictRow]:
    """One row per judge and order; one without an order if the responses are identical, since no judge was queried."""
    return [row for each in verdicts for row in _iter_rows(each)]


def build_criterion_rows(verdicts: Sequence[PairVerdict]) -> list[CriterionRow]:
    """One row per criterion of the judges that are asked about criteria."""
    return [
        CriterionRow(
            judge=each.judge,
            criterion=name,
            weight=format_number(each.verdict.forward.weights[name]),
            p_a_first=f"{p_a:.3f}",
            p_b_first=f"{1 - each.verdict.reversed.criteria[name]:.3f}",
        )
        for each in verdicts
        if each.verdict.forward is not None and each.verdict.reversed is not None
        for name, p_a in each.verdict.forward.criteria.items()
    ]


def _iter_rows(each: PairVerdict) -> Iterator[VerdictRow]:
    outcome = _PREFERENCES[each.verdict.outcome]
    singles = {"a_first": each.verdict.forward, "b_first": each.verdict.reversed}
    queried = [(order, single) for order, single in singles.items() if single is not None]
    for order, single in queried:
        yield _build_row(each.judge, order, single, outcome)
    if not queried:
        yield VerdictRow(judge=each.judge, order="", votes="", choice="", outcome=outcome)


def _build_row(judge: str, order: str, single: SingleVerdict, outcome: str) -> VerdictRow:
    names = _ORDERS[order]
    votes = " ".join(names[vote] for vote in single.votes)
    return VerdictRow(judge=judge, order=ORDER_LABELS[order], votes=votes, choice=names[single.choice], outcome=outcome)
