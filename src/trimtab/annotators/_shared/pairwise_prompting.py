"""How models are asked about pairs, one order at a time, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import (
    BOTH_ORDERS,
    VERDICT_LABEL,
    Argument,
    ComparisonPrompt,
    choice_at_position,
    pick_random_choice,
)
from trimtab.prompts.reply_checks import (
    compute_min_samples,
    describe_generation_error,
    describe_scoring_error,
    format_sample_note,
)
from trimtab.types import Annotation, Cost, EngineRequest, Order, Pair

PresentationOrder = Literal["both", "random", "most_confident"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonState:
    """A pair with its responses in one order, and how far the asking has come.

    `lean` in [-1, 1] is the share of response `a` minus that of `b`; `cut` counts what was written up to the limit and is not
    whole; None where nothing was. `samples` are the draws that the shares were counted over, 0 where the model told them.
    Once `failure` says something, nothing more is asked.
    """

    pair: Pair
    order: Order
    reasoning: str = ""
    arguments: tuple[Argument, ...] = ()
    preference: float | None = None
    num_truncated: int | None = None
    samples: int = 0
    cost: Cost = field(default_factory=Cost)
    error: str = ""


def prompt_directly(
    engine: Engine,
    prompt: ComparisonPrompt,
    pairs: Sequence[Pair],
    orders: PresentationOrder,
    max_reasoning_tokens: int = 0,
) -> list[Annotation]:
    """What one model says when it is asked directly, with up to so many tokens of reasoning before its verdict."""
    cases = build_comparison_states(pairs, orders)
    if max_reasoning_tokens:
        cases = generate_step(
            engine,
            cases,
            lambda case: prompt.reasoning(case.pair, case.order),
            lambda case, text: replace(case, reasoning=text),
            max_tokens=max_reasoning_tokens,
            stop=(VERDICT_LABEL,),
        )
    return aggregate_orders(pairs, score_verdicts(engine, prompt, cases), orders)


def build_comparison_states(pairs: Sequence[Pair], orders: PresentationOrder) -> list[ComparisonState]:
    """The cases to ask about, those of a pair together; where there is one, who stands first follows from the texts."""
    return [ComparisonState(pair=pair, order=order) for pair in pairs for order in _list_orders(pair, orders)]


def _list_orders(pair: Pair, orders: PresentationOrder) -> Sequence[Order]:
    if orders != "random":
        return BOTH_ORDERS
    return ("a_first",) if pick_random_choice(pair, "stands first") == "a" else ("b_first",)


def generate_step(
    engine: Engine,
    cases: Sequence[ComparisonState],
    build_request: Callable[[ComparisonState], EngineRequest],
    apply_text: Callable[[ComparisonState, str], ComparisonState],
    *,
    max_tokens: int,
    stop: Sequence[str] = (),
) -> list[ComparisonState]:
    """The cases after one question each, all in one call; `heard` says what a case becomes by what was written."""
    waiting = [place for place, case in enumerate(cases) if not case.error]
    replies = engine.generate([build_request(cases[place]) for place in waiting], max_new_tokens=max_tokens, stop=stop)
    after = list(cases)
    for place, reply in zip(waiting, replies, strict=True):
        cut = (cases[place].num_truncated or 0) + (reply.finish_reason == "length")
        paid = replace(cases[place], cost=cases[place].cost + reply.cost, num_truncated=cut)
        failure = describe_generation_error(reply)
        after[place] = replace(paid, error=failure) if failure else apply_text(paid, reply.text.strip())
    return after


def score_verdicts(engine: Engine, prompt: ComparisonPrompt, cases: Sequence[ComparisonState]) -> list[ComparisonState]:
    """The cases with their verdicts, all in one call."""
    waiting = [place for place, case in enumerate(cases) if not case.error]
    questions = [
        prompt.build_verdict_request(case.pair, case.order, reasoning=case.reasoning, arguments=case.arguments)
        for case in (cases[place] for place in waiting)
    ]
    found = engine.score_choices(questions, [prompt.candidates] * len(questions))
    after = list(cases)
    for place, weighing in zip(waiting, found, strict=True):
        paid = replace(cases[place], cost=cases[place].cost + weighing.cost)
        if failure := describe_scoring_error(weighing):
            after[place] = replace(paid, error=failure)
        else:
            first, second = weighing.probabilities
            lean = first - second if paid.order == "a_first" else second - first
            after[place] = replace(paid, preference=lean, samples=weighing.samples)
    return after


def aggregate_orders(
    pairs: Sequence[Pair], cases: Sequence[ComparisonState], orders: PresentationOrder
) -> list[Annotation]:
    """One annotation a pair: its orders averaged, or the surer one of them."""
    each = 1 if orders == "random" else 2
    groups = [cases[start : start + each] for start in range(0, len(cases), each)]
    return [_aggregate_pair(pair, group, orders) for pair, group in zip(pairs, groups, strict=True)]


def _aggregate_pair(pair: Pair, cases: Sequence[ComparisonState], orders: PresentationOrder) -> Annotation:
    cost = sum((case.cost for case in cases), Cost())
    leans = [case.preference for case in cases if case.preference is not None]
    flipped = len(leans) == len(BOTH_ORDERS) and min(leans) < 0 < max(leans)
    detail = _build_detail(cases, flipped)
    failures = list(dict.fromkeys(case.error for case in cases if case.error))
    if failures:
        return Annotation(
            pair_id=pair.id, p_a=None, status="failed", note="; ".join(failures), cost=cost, detail=detail
        )
    p_a = (1 + _combine_preferences(leans, orders)) / 2
    if p_a == 0.5:
        note = "tie: the two orders contradict each other" if flipped else "tie"
        return Annotation(pair_id=pair.id, p_a=None, status="abstained", note=note, cost=cost, detail=detail)
    return Annotation(
        pair_id=pair.id, p_a=p_a, note=format_sample_note(detail.get("samples", 0)), cost=cost, detail=detail
    )


def _combine_preferences(leans: Sequence[float], orders: PresentationOrder) -> float:
    """Leans and not probabilities are averaged: what stands in one slot alone cancels to exactly 0."""
    surest = max(map(abs, leans))
    counted = [lean for lean in leans if orders != "most_confident" or abs(lean) == surest]
    return sum(counted) / len(counted)


def _build_detail(cases: Sequence[ComparisonState], flipped: bool) -> dict[str, Any]:
    """Probabilities of `a`, reasoning and arguments, each by the order in which the responses stood; how many were cut; the
    fewest draws that a verdict was counted over, where the engine knows no probabilities."""
    p_a = {case.order: (1 + case.preference) / 2 for case in cases if case.preference is not None}
    thoughts = {case.order: case.reasoning for case in cases if case.reasoning}
    arguments = {case.order: _argument_detail(case) for case in cases if case.arguments}
    detail: dict[str, Any] = {"p_a_by_order": p_a}
    if len(p_a) == len(BOTH_ORDERS):
        detail["order_inconsistent"] = flipped
    samples = compute_min_samples(case.samples for case in cases)
    optional: Mapping[str, Any] = {"reasoning": thoughts, "arguments": arguments, "samples": samples}
    cuts = [case.num_truncated for case in cases if case.num_truncated is not None]
    return detail | {name: each for name, each in optional.items() if each} | ({"num_truncated": sum(cuts)} if cuts else {})


def _argument_detail(case: ComparisonState) -> list[dict[str, str]]:
    return [{"for": choice_at_position(each.position, case.order), "text": each.text} for each in case.arguments]


def add_argument(case: ComparisonState, speech: Argument) -> ComparisonState:
    """The case after a speech; failed where nothing was said, since then there is nothing to judge."""
    if not speech.text:
        return replace(case, error=f"no argument for Response {speech.position} was written")
    return replace(case, arguments=(*case.arguments, speech))
