"""Settings shared by annotators that prompt language models."""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from trimtab.annotators._shared.pair_labeling import PresentationOrder
from trimtab.core.annotator_inputs import LabelField, Requirements, TrainingTask
from trimtab.core.component import ENGINE_FIELD, Component, build_component, get_kind
from trimtab.errors import StudyError
from trimtab.prompts.comparison import DEFAULT_TRAINING_TASK, AnswerFormat, ComparisonPrompt, build_comparison_prompt
from trimtab.prompts.principles import load_principles, resolve_principles


class PrincipleSettings(Component):
    """Principles in the prompt, and the presentation orders."""

    VERSION: ClassVar[int] = 2

    presentation_order: PresentationOrder = "both"
    principles: bool | str = Field(
        True, description="true: the built-in principles; false: no principles; or a YAML file"
    )

    def label_fields(self) -> frozenset[LabelField]:
        if self.presentation_order == "random":
            return frozenset({"confidence"})
        return frozenset({"confidence", "order_consistency"})

    def content_hash(self) -> str:
        """Hash of the principles' texts. Raises `DataError` if they cannot be read."""
        return hashlib.sha256(repr(resolve_principles(self.principles)).encode()).hexdigest()[:16]


class PromptedSettings(PrincipleSettings):
    """Prompt of a model that gives its own verdict."""

    preamble: str = ""
    shots: int = Field(0, ge=0, description="worked examples, at most one per principle")
    answer_format: AnswerFormat = "response"
    max_reasoning_tokens: int = Field(0, ge=0, description="0: no chain of thought")

    @model_validator(mode="after")
    def _validate_shots(self) -> Self:
        if not isinstance(self.principles, str) and self.shots > len(load_principles()):
            raise ValueError(
                f"shots: the built-in principles have {len(load_principles())} worked examples, got {self.shots}"
            )
        return self

    def content_hash(self) -> str:
        """Hash of the principles' texts. Raises `StudyError` if there are fewer worked examples than `shots`."""
        self._require_examples()
        return super().content_hash()

    def _require_examples(self) -> None:
        if isinstance(self.principles, str) and self.shots > len(principles := load_principles(self.principles)):
            raise StudyError(f"shots: {self.principles} has {len(principles)} worked examples, got {self.shots}")

    def training_task(self) -> TrainingTask:
        """This annotator's prompt if it differs from the default one, else the default training task."""
        keys = {"preamble", "principles", "shots", "answer_format", "max_reasoning_tokens"}
        settings = self.model_dump(mode="json", include=keys, exclude_defaults=True)
        if not settings:
            return DEFAULT_TRAINING_TASK
        if "principles" in settings:
            settings["principles"] = self.content_hash()
        return TrainingTask(prompt=self.build_prompt(), name=get_kind(self), settings=settings)

    def build_prompt(self) -> ComparisonPrompt:
        self._require_examples()
        return build_comparison_prompt(
            preamble=self.preamble,
            principles=self.principles,
            shots=self.shots,
            answer_format=self.answer_format,
            with_reasoning=self.max_reasoning_tokens > 0,
        )


class DebateSettings(PrincipleSettings):
    """A strong model that argues and a weak model that judges."""

    weak: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@weak"})
    )
    strong: Annotated[Component, ENGINE_FIELD] = Field(
        default_factory=lambda: build_component("engines", {"kind": "transformers", "model": "@student"})
    )
    max_argument_tokens: int = Field(256, gt=0, description="per argument")

    def requirements(self) -> Requirements:
        return Requirements(engines={"weak": self.weak, "strong": self.strong})
