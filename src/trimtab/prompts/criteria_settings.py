"""The settings of components that ask about each criterion separately."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import Field, field_validator

from trimtab.core.component import Component
from trimtab.prompts.comparison import AnswerFormat
from trimtab.prompts.criteria import DEFAULT_CRITERIA, CriterionPrompt
from trimtab.types import Pair

_NAME_CHARACTERS = set("abcdefghijklmnopqrstuvwxyz0123456789_-")


class CriteriaSettings(Component):
    """The questions by criterion, and the format of the answers."""

    criteria: Mapping[str, tuple[str, ...]] | None = Field(
        None,
        description="phrasings of a question by criterion; null: the built-in helpful, correct, harmless and clear",
    )
    answer_format: AnswerFormat = "response"

    @field_validator("criteria")
    @classmethod
    def _validate_criteria(cls, criteria: Mapping[str, tuple[str, ...]] | None) -> Mapping[str, tuple[str, ...]] | None:
        if criteria is not None and not criteria:
            raise ValueError("expected at least one criterion")
        for name, questions in (criteria or {}).items():
            if not name or set(name) - _NAME_CHARACTERS:
                raise ValueError(f"{name!r}: the name of a criterion has lowercase letters, digits, - and _")
            if not questions or any(not question.strip() for question in questions):
                raise ValueError(f"{name}: expected one or more questions")
        return criteria

    def content_hash(self) -> str:
        """Hash of the prompts with the built-in questions."""
        pair = Pair.from_responses((), "a", "b")
        requests = [
            each.build_verdict_request(pair, "a_first")
            for phrasings in self.build_prompts().values()
            for each in phrasings
        ]
        return hashlib.sha256(repr(requests).encode()).hexdigest()[:16]

    def build_prompts(self) -> dict[str, list[CriterionPrompt]]:
        """The prompts of all phrasings, by criterion."""
        return {
            name: [CriterionPrompt(question=question, answer_format=self.answer_format) for question in questions]
            for name, questions in (self.criteria or DEFAULT_CRITERIA).items()
        }
