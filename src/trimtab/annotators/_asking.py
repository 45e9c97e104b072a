"""How models are asked about pairs, one order at a time, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trimtab.prompts.answers import fewest_draws, remark_on, unweighed, unwritten
from trimtab.prompts.preference import BOTH, VERDICT, Comparison, Speech, choice_in, drawn
from trimtab.protocols import Engine
from trimtab.types import Annotation, Cost, Order, Pair, Question

Orders = Literal["both", "one", "surer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A pair with its responses in one order, and how far the asking has come.

    `lean` in [-1, 1] is the share of response `a` minus that of `b`; `cut` counts what was written up to the limit and is not
    whole; None where nothing was. `samples` are the draws that the shares were counted over, 0 where the model told them.
    Once `failure` says something, nothing more is asked.
    """

    pair: Pair
    order: Order
    thought: str = ""
    speeches: tuple[Speech, ...] = ()
    lean: float | None = None
    cut: int | None = None
    samples: int = 0
    cost: Cost = field(default_factory=Cost)
    failure: str = ""


def compared(
    engine: Engine, comparison: Comparison, pairs: Sequence[Pair], orders: Orders, reasoning_tokens: int = 0
) -> list[Annotation]:
    """What one model says when it is asked directly, with up to so many tokens of reasoning before its verdict."""
    cases = opened(pairs, orders)
    if reasoning_tokens:
        cases = written(
            engine,
            cases,
            lambda case: comparison.reasoning(case.pair, case.order),
            lambda case, text: replace(case, thought=text),
            max_tokens=reasoning_tokens,
            stop=(VERDICT,),
        )
    return settled(pairs, judged(engine, comparison, cases), orders)


def opened(pairs: Sequence[Pair], orders: Orders) -> list[Case]:
    """The cases to ask about, those of a pair together; where there is one, who stands first follows from the texts."""
    return [Case(pair=pair, order=order) for pair in pairs for order in _orders(pair, orders)]


def _orders(pair: Pair, orders: Orders) -> Sequence[Order]:
    if orders != "one":
        return BOTH
    return ("a_first",) if drawn(pair, "stands first") == "a" else ("b_first",)


def written(
    engine: Engine,
    cases: Sequence[Case],
    question: Callable[[Case], Question],
    heard: Callable[[Case, str], Case],
    *,
    max_tokens: int,
    stop: Sequence[str] = (),
) -> list[Case]:
    """The cases after one question each, all in one call; `heard` says what a case becomes by what was written."""
    waiting = [place for place, case in enumerate(cases) if not case.failure]
    replies = engine.write([question(cases[place]) for place in waiting], max_tokens=max_tokens, stop=stop)
    after = list(cases)
    for place, reply in zip(waiting, replies, strict=True):
        cut = (cases[place].cut or 0) + (reply.stop == "length")
        paid = replace(cases[place], cost=cases[place].cost + reply.cost, cut=cut)
        failure = unwritten(reply)
        after[place] = replace(paid, failure=failure) if failure else heard(paid, reply.text.strip())
    return after


def judged(engine: Engine, comparison: Comparison, cases: Sequence[Case]) -> list[Case]:
    """The cases with their verdicts, all in one call."""
    waiting = [place for place, case in enumerate(cases) if not case.failure]
    questions = [
        comparison.verdict(case.pair, case.order, thought=case.thought, speeches=case.speeches)
        for case in (cases[place] for place in waiting)
    ]
    found = engine.weigh(questions, [comparison.candidates] * len(questions))
    after = list(cases)
    for place, weighing in zip(waiting, found, strict=True):
        paid = replace(cases[place], cost=cases[place].cost + weighing.cost)
        if failure := unweighed(weighing):
            after[place] = replace(paid, failure=failure)
        else:
            first, second = weighing.shares
            lean = first - second if paid.order == "a_first" else second - first
            after[place] = replace(paid, lean=lean, samples=weighing.samples)
    return after


def settled(pairs: Sequence[Pair], cases: Sequence[Case], orders: Orders) -> list[Annotation]:
    """One annotation a pair: its orders averaged, or the surer one of them."""
    each = 1 if orders == "one" else 2
    groups = [cases[start : start + each] for start in range(0, len(cases), each)]
    return [_settled(pair, group, orders) for pair, group in zip(pairs, groups, strict=True)]


def _settled(pair: Pair, cases: Sequence[Case], orders: Orders) -> Annotation:
    cost = sum((case.cost for case in cases), Cost())
    leans = [case.lean for case in cases if case.lean is not None]
    flipped = len(leans) == len(BOTH) and min(leans) < 0 < max(leans)
    detail = _detail(cases, flipped)
    failures = list(dict.fromkeys(case.failure for case in cases if case.failure))
    if failures:
        return Annotation(
            pair_id=pair.id, p_a=None, status="failed", note="; ".join(failures), cost=cost, detail=detail
        )
    p_a = (1 + _combined(leans, orders)) / 2
    if p_a == 0.5:
        note = "tie: the two orders contradict each other" if flipped else "tie"
        return Annotation(pair_id=pair.id, p_a=None, status="abstained", note=note, cost=cost, detail=detail)
    return Annotation(pair_id=pair.id, p_a=p_a, note=remark_on(detail.get("samples", 0)), cost=cost, detail=detail)


def _combined(leans: Sequence[float], orders: Orders) -> float:
    """Leans and not probabilities are averaged: what stands in one slot alone cancels to exactly 0."""
    surest = max(map(abs, leans))
    counted = [lean for lean in leans if orders != "surer" or abs(lean) == surest]
    return sum(counted) / len(counted)


def _detail(cases: Sequence[Case], flipped: bool) -> dict[str, Any]:
    """Probabilities of `a`, reasoning and arguments, each by the order in which the responses stood; how many were cut; the
    fewest draws that a verdict was counted over, where the engine knows no probabilities."""
    p_a = {case.order: (1 + case.lean) / 2 for case in cases if case.lean is not None}
    thoughts = {case.order: case.thought for case in cases if case.thought}
    arguments = {case.order: _arguments(case) for case in cases if case.speeches}
    detail: dict[str, Any] = {"orders": p_a}
    if len(p_a) == len(BOTH):
        detail["flipped"] = flipped
    samples = fewest_draws(case.samples for case in cases)
    optional: Mapping[str, Any] = {"reasoning": thoughts, "arguments": arguments, "samples": samples}
    cuts = [case.cut for case in cases if case.cut is not None]
    return detail | {name: each for name, each in optional.items() if each} | ({"cut": sum(cuts)} if cuts else {})


def _arguments(case: Case) -> list[dict[str, str]]:
    return [{"for": choice_in(each.slot, case.order), "text": each.text} for each in case.speeches]


def spoken(case: Case, speech: Speech) -> Case:
    """The case after a speech; failed where nothing was said, since then there is nothing to judge."""
    if not speech.text:
        return replace(case, failure=f"no argument for Response {speech.slot} was written")
    return replace(case, speeches=(*case.speeches, speech))
