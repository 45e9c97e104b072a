"""The strong model argues for one response, and the weak model judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from trimtab.annotators._shared.pairwise_prompting import (
    ComparisonState,
    add_argument,
    aggregate_orders,
    build_comparison_states,
    generate_step,
    prompt_directly,
    score_verdicts,
)
from trimtab.annotators._shared.prompted_settings import DebateSettings
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import (
    Argument,
    Position,
    build_argument_prompt,
    build_comparison_prompt,
    get_position,
    pick_random_choice,
)
from trimtab.types import Annotation, Choice, Pair

StrongLabels = Mapping[str, Annotation]


class Consultancy(DebateSettings):
    """The strong model reasons step by step for one response and the weak model decides (Khan et al. 2024; SEAM's baseline).

    It speaks for the response that it prefers itself when it is asked as `self_reward` asks (`side: own`; an exact tie is
    settled by the draw), or for one drawn by the pair's texts (`side: drawn`). Each order of the responses has an argument
    of its own, since arguments speak of responses by where they stand.
    `detail` has the side, the strong model's own label, the arguments, and the weak model's probability in each order.
    """

    SYMMETRIC: ClassVar[bool] = True

    argue_for: Literal["preferred", "random"] = "preferred"

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        picks = self._label_with_strong(pairs, given.engines["strong"])
        cases = self._generate_arguments(pairs, picks, given.engines["strong"])
        judge = build_comparison_prompt(principles=self.principles, with_arguments=True)
        labels = aggregate_orders(pairs, score_verdicts(given.engines["weak"], judge, cases), self.presentation_order)
        return [_add_provenance(pair, label, picks) for pair, label in zip(pairs, labels, strict=True)]

    def _label_with_strong(self, pairs: Sequence[Pair], strong: Engine) -> StrongLabels:
        """The strong model's own labels by pair id, where they are wanted."""
        if self.argue_for == "random":
            return {}
        labels = prompt_directly(strong, build_comparison_prompt(principles=self.principles), pairs, "both")
        return {label.pair_id: label for label in labels}

    def _generate_arguments(self, pairs: Sequence[Pair], picks: StrongLabels, strong: Engine) -> list[ComparisonState]:
        asked = build_argument_prompt(principles=self.principles)
        return generate_step(
            strong,
            [_mark_failed(case, picks) for case in build_comparison_states(pairs, self.presentation_order)],
            lambda case: asked.argument(case.pair, case.order, _select_position(case, picks)),
            lambda case, text: add_argument(case, Argument(position=_select_position(case, picks), text=text)),
            max_tokens=self.max_argument_tokens,
        )


def _mark_failed(case: ComparisonState, picks: StrongLabels) -> ComparisonState:
    pick = picks.get(case.pair.id)
    if pick is None or pick.status != "failed":
        return case
    return replace(case, error=f"the strong model's own label: {pick.note}")


def _select_side(pair: Pair, picks: StrongLabels) -> Choice:
    pick = picks.get(pair.id)
    return (pick.choice if pick else None) or pick_random_choice(pair, "spoken for")


def _select_position(case: ComparisonState, picks: StrongLabels) -> Position:
    return get_position(_select_side(case.pair, picks), case.order)


def _add_provenance(pair: Pair, label: Annotation, picks: StrongLabels) -> Annotation:
    pick = picks.get(pair.id)
    detail = {**label.detail, "argued_for": _select_side(pair, picks)}
    if pick is None:
        return replace(label, detail=detail)
    own = {"p_a": pick.p_a, **pick.detail}
    return replace(label, cost=label.cost + pick.cost, detail=detail | {"strong_label": own})
