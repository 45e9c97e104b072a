"""Two sides argue, and the weak model judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from trimtab.annotators._shared.pairwise_prompting import (
    ComparisonState,
    add_argument,
    aggregate_orders,
    build_comparison_states,
    generate_step,
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
    """The strong model speaks for both responses in turn, and the weak model decides (Khan et al. 2024; SEAM's baseline).

    In each of `rounds` both sides speak once, reading all that was said before. Whether the response that stands first
    or the one that stands second opens follows from the pair's id, so with both orders each response opens once. Each
    order is a debate of its own, since speeches name responses by where they stand.
    `detail` has the speeches and the weak model's probability of `a` in each order.
    """

    SYMMETRIC: ClassVar[bool] = True

    rounds: int = Field(2, gt=0)

    def annotate(self, pairs: Sequence[Pair], given: AnnotatorInputs) -> list[Annotation]:
        asked = build_argument_prompt(principles=self.principles, with_opponent=True)
        cases = build_comparison_states(pairs, self.presentation_order)
        for turn in range(2 * self.rounds):
            cases = self._generate_turn(given.engines["strong"], asked, cases, turn)
        judge = build_comparison_prompt(principles=self.principles, with_arguments=True)
        return aggregate_orders(pairs, score_verdicts(given.engines["weak"], judge, cases), self.presentation_order)

    def _generate_turn(
        self, strong: Engine, asked: ArgumentPrompt, cases: Sequence[ComparisonState], turn: int
    ) -> list[ComparisonState]:
        return generate_step(
            strong,
            cases,
            lambda case: asked.argument(case.pair, case.order, _select_speaker(case.pair, turn), case.arguments),
            lambda case, text: add_argument(case, Argument(position=_select_speaker(case.pair, turn), text=text)),
            max_tokens=self.max_argument_tokens,
        )


def _select_speaker(pair: Pair, turn: int) -> Position:
    """Who speaks in this turn, counted from 0."""
    opens = int(text_hash("opens", pair.id)[-1], 16) % 2
    return 1 if (opens + turn) % 2 == 0 else 2
