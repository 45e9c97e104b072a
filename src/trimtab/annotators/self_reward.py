"""The strong model is asked which response is better: labels without a weak model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.annotators._asking import Orders, compared
from trimtab.components import ENGINE, Component, build
from trimtab.prompts.preference import Answer, comparison
from trimtab.protocols import Given
from trimtab.types import Annotation, Pair


class SelfReward(Component):
    """Asks the strong model itself, in the words in which `prompted` asks the weak one (SEAM's Self-Reward baseline).

    The settings and `detail` are those of `prompted`.
    """

    SYMMETRIC: ClassVar[bool] = True

    strong: Annotated[Component, ENGINE] = Field(
        default_factory=lambda: build("engines", {"kind": "transformers", "model": "@student"})
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
        return {"strong": self.strong}

    def annotate(self, pairs: Sequence[Pair], given: Given) -> list[Annotation]:
        asked = comparison(
            preamble=self.preamble,
            principles=self.principles,
            shots=self.shots,
            answer=self.answer,
            reasoned=self.reasoning_tokens > 0,
        )
        return compared(given.engines["strong"], asked, pairs, self.orders, self.reasoning_tokens)
