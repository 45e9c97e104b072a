"""Debate: the strong model argues for both responses, and the weak model judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from trimtab.annotators._shared.pair_labeling import (
    ComparisonState,
    add_argument,
    aggregate_orders,
    build_comparison_states,
    generate_text,
    score_verdicts,
)
from trimtab.annotators._shared.prompted_settings import DebateSettings
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.interfaces import Engine
from trimtab.prompts.comparison import (
    Argument,
    ArgumentPrompt,
    Position,
    build_argument_prompt,
    build_comparison_prompt,
)
from trimtab.types import Annotation, Pair, text_hash


class Debate(DebateSettings):
    """The strong model argues for each response in turn, and the weak model judges (Khan et al. 2024; SEAM's baseline).

    In each of `rounds`, both sides argue once, given all earlier arguments. The pair's id determines which position argues
    first, so with both presentation orders each response opens once. Each order is a separate debate, since arguments refer
    to responses by position. `detail` has the arguments and the weak model's probability of `a` in each order.
    """

    SYMMETRIC: ClassVar[bool] = True

    rounds: int = Field(2, gt=0)

    def annotate(self, pairs: Sequence[Pair], inputs: AnnotatorInputs) -> list[Annotation]:
        argument_prompt = build_argument_prompt(principles=self.principles, with_opponent=True)
        states = build_comparison_states(pairs, self.presentation_order)
        for turn in range(2 * self.rounds):
            states = self._generate_turn(inputs.engines["strong"], argument_prompt, states, turn)
        prompt = build_comparison_prompt(principles=self.principles, with_arguments=True)
        states = score_verdicts(inputs.engines["weak"], prompt, states)
        return aggregate_orders(pairs, states, self.presentation_order)

    def _generate_turn(
        self, strong: Engine, prompt: ArgumentPrompt, states: Sequence[ComparisonState], turn: int
    ) -> list[ComparisonState]:
        return generate_text(
            strong,
            states,
            lambda state: prompt.build_argument_request(
                state.pair, state.order, _select_speaker(state.pair, turn), state.arguments
            ),
            lambda state, text: add_argument(state, Argument(position=_select_speaker(state.pair, turn), text=text)),
            max_new_tokens=self.max_argument_tokens,
        )


def _select_speaker(pair: Pair, turn: int) -> Position:
    """The position that argues in this turn, counted from 0."""
    opens = int(text_hash("opens", pair.id)[-1], 16) % 2
    return 1 if (opens + turn) % 2 == 0 else 2
