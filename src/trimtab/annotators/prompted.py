"""The weak model is asked which response is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.annotators._asking import Orders, compared
from trimtab.components import ENGINE, Component, build
from trimtab.prompts.preference import Answer, comparison
from trimtab.protocols import Given
from trimtab.types import Annotation, Pair


class Prompted(Component):
    """Asks a model which response is better and reads its probabilities (RLAIF, Lee et al. 2024; the naive weak label of SEAM).

    A pair is shown in both orders and the probabilities are averaged; `orders: one` shows it once, in an order drawn by
    its texts, and `surer` takes the order in which the model is more confident, as SEAM's released code does. An exact tie
    abstains. With `reasoning_tokens` the model writes that much at most before it is asked for the verdict.
    `detail` has the probability of `a` in each order, and whether the orders contradict each other (`flipped`).
    """

    SYMMETRIC: ClassVar[bool] = True

    weak: Annotated[Component, ENGINE] = Field(
        default_factory=lambda: build("engines", {"kind": "transformers", "model": "@weak"})
    )
    orders: Orders = "both"
    principles: bool = True
    preamble: str = ""
    shots: int = Field(0, ge=0, le=11)
    answer: Answer = "response"
    reasoning_tokens: int = Field(0, ge=0, description="0: no chain of thought")

    def models(self) -> Sequence[str]:
        return ()

    def arms(self) -> Sequence[str]:
        return ()

    def asks(self) -> Mapping[str, Component]:
        return {"weak": self.weak}

    def annotate(self, pairs: Sequence[Pair], given: Given) -> list[Annotation]:
        asked = comparison(
            preamble=self.preamble,
            principles=self.principles,
            shots=self.shots,
            answer=self.answer,
            reasoned=self.reasoning_tokens > 0,
        )
        return compared(given.engines["weak"], asked, pairs, self.orders, self.reasoning_tokens)
