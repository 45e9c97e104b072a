"""Settings that all annotators have that ask models by principles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from trimtab.annotators._asking import Orders
from trimtab.components import ENGINE, Component, build, kind_of
from trimtab.errors import StudyError
from trimtab.prompts.preference import PLAIN, Answer, Comparison, comparison
from trimtab.prompts.principles import chosen, load
from trimtab.protocols import Exam


class ByPrinciples(Component):
    """Which principles go into the question, and in which orders it is asked."""

    VERSION: ClassVar[int] = 2

    orders: Orders = "both"
    principles: bool | str = Field(True, description="those that ship, none, or a YAML file of your own")

    def models(self) -> Sequence[str]:
        return ()

    def arms(self) -> Sequence[str]:
        return ()

    def identity(self) -> str:
        """What labels depend on besides the settings: the principles' texts. Raises `DataError` where they cannot be read."""
        return hashlib.sha256(repr(chosen(self.principles)).encode()).hexdigest()[:16]


class Direct(ByPrinciples):
    """How one model is asked for its own verdict."""

    preamble: str = ""
    shots: int = Field(0, ge=0, description="worked examples, one of a principle at most")
    answer: Answer = "response"
    reasoning_tokens: int = Field(0, ge=0, description="0: no chain of thought")

    @model_validator(mode="after")
    def _enough_examples(self) -> Self:
        if not isinstance(self.principles, str) and self.shots > len(load()):
            raise ValueError(f"shots: the principles that ship have {len(load())} worked examples, got {self.shots}")
        return self

    def identity(self) -> str:
        """As for all; also raises `StudyError` where there are fewer worked examples than `shots` asks for."""
        self._require_examples()
        return super().identity()

    def _require_examples(self) -> None:
        if isinstance(self.principles, str) and self.shots > len(known := load(self.principles)):
            raise StudyError(f"shots: {self.principles} has {len(known)} worked examples, got {self.shots}")

    def exam(self) -> Exam:
        """Its own question, where that differs from the plain one."""
        own = {"preamble", "principles", "shots", "answer", "reasoning_tokens"}
        settings = self.model_dump(mode="json", include=own, exclude_defaults=True)
        if not settings:
            return PLAIN
        known = {**settings, "principles": self.identity()} if "principles" in settings else settings
        return Exam(form=self.question(), name=kind_of(self), settings=known)

    def question(self) -> Comparison:
        self._require_examples()
        return comparison(
            preamble=self.preamble,
            principles=self.principles,
            shots=self.shots,
            answer=self.answer,
            reasoned=self.reasoning_tokens > 0,
        )


class Argued(ByPrinciples):
    """A strong model that argues, and a weak one that judges."""

    weak: Annotated[Component, ENGINE] = Field(
        default_factory=lambda: build("engines", {"kind": "transformers", "model": "@weak"})
    )
    strong: Annotated[Component, ENGINE] = Field(
        default_factory=lambda: build("engines", {"kind": "transformers", "model": "@student"})
    )
    max_tokens: int = Field(256, gt=0, description="of what is argued at a time")

    def asks(self) -> Mapping[str, Component]:
        return {"weak": self.weak, "strong": self.strong}
