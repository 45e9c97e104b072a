"""Consultancy: the strong model argues for one response, and the weak model judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from trimtab.annotators._shared.pair_labeling import (
    ComparisonState,
    add_argument,
    aggregate_orders,
    build_comparison_states,
    generate_text,
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
    """The strong model argues step by step for one response, and the weak model judges (Khan et al. 2024; SEAM's baseline).

    With `argue_for: preferred`, it argues for the response that it prefers itself, as labeled by `self_reward` with the same
    `presentation_order` (an exact tie is broken at random); with `random`, for a response drawn from the pair's texts. Each
    presentation order has its own argument, since arguments refer to responses by position. `detail` has the side, the strong
    model's own label, the arguments, and the weak model's probability in each order.
    """

    SYMMETRIC: ClassVar[bool] = True
    VERSION: ClassVar[int] = 3

    argue_for: Literal["preferred", "random"] = "preferred"

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        strong_labels = self._label_with_strong(pairs, inputs.engines["strong"])
        states = self._generate_arguments(pairs, strong_labels, inputs.engines["strong"])
        prompt = build_comparison_prompt(principles=self.principles, with_arguments=True)
        states = score_verdicts(inputs.engines["weak"], prompt, states)
        labels = aggregate_orders(pairs, states, self.presentation_order)
        return [_add_provenance(pair, label, strong_labels) for pair, label in zip(pairs, labels, strict=True)]

    def _label_with_strong(self, pairs: Sequence[Pair], strong: Engine) -> StrongLabels:
        """The strong model's own labels by pair id; empty if they are not needed."""
        if self.argue_for == "random":
            return {}
        labels = prompt_directly(
            strong, build_comparison_prompt(principles=self.principles), pairs, self.presentation_order
        )
        return {label.pair_id: label for label in labels}

    def _generate_arguments(
        self, pairs: Sequence[Pair], strong_labels: StrongLabels, strong: Engine
    ) -> list[ComparisonState]:
        prompt = build_argument_prompt(principles=self.principles)
        states = build_comparison_states(pairs, self.presentation_order)
        return generate_text(
            strong,
            [_mark_failed(state, strong_labels) for state in states],
            lambda state: prompt.build_argument_request(
                state.pair, state.order, _select_position(state, strong_labels)
            ),
            lambda state, text: add_argument(
                state, Argument(position=_select_position(state, strong_labels), text=text)
            ),
            max_new_tokens=self.max_argument_tokens,
        )


def _mark_failed(state: ComparisonState, strong_labels: StrongLabels) -> ComparisonState:
    label = strong_labels.get(state.pair.id)
    if label is None or label.status != "failed":
        return state
    return replace(state, error=f"the strong model's own label: {label.note}")


def _select_side(pair: Pair, strong_labels: StrongLabels) -> Choice:
    label = strong_labels.get(pair.id)
    return (label.choice if label else None) or pick_random_choice(pair, "spoken for")


def _select_position(state: ComparisonState, strong_labels: StrongLabels) -> Position:
    return get_position(_select_side(state.pair, strong_labels), state.order)


def _add_provenance(pair: Pair, label: Annotation, strong_labels: StrongLabels) -> Annotation:
    strong_label = strong_labels.get(pair.id)
    detail = {**label.detail, "argued_for": _select_side(pair, strong_labels)}
    if strong_label is None:
        return replace(label, detail=detail)
    detail["strong_label"] = {"p_a": strong_label.p_a, **strong_label.detail}
    return replace(label, cost=label.cost + strong_label.cost, detail=detail)
