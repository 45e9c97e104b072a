"""Custom judge prompts: a template with named fields, from a study or built-in under a name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from trimtab.core.component import Settings
from trimtab.core.validation_errors import format_suggestion
from trimtab.prompts.delimiters import render_turns, wrap_in_tags
from trimtab.prompts.judge import compare_scores, parse_score_line, parse_verdict
from trimtab.types import EngineRequest, Message, Prompt, SingleVerdict

JudgeReply = Literal["choice", "score_line"]

TEMPLATE_FIELDS = ("conversation", "response_1", "response_2")
# Other braces are text, so that a template can show JSON.
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class JudgeTemplate(Settings):
    """A judge prompt. `{conversation}`, `{response_1}` and `{response_2}` each occur once in `user`.

    A field is replaced by its text between tags of the field's name. The text cannot close its tag, and a field's name inside
    it stays text, so data cannot change the structure of the prompt.
    """

    system: str = Field("", description="the system turn; empty for none")
    user: str = Field(min_length=1, description="the user turn, with the three fields")
    reply: JudgeReply = Field(
        "choice",
        description="what the first line of the reply has: choice, `Response 1` or `Response 2`; score_line, two scores from "
        "1 to 10",
    )

    @model_validator(mode="after")
    def _validate_fields(self) -> Self:
        counts = Counter(_FIELD.findall(self.user))
        expected = ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS)
        if unknown := sorted(set(counts) - set(TEMPLATE_FIELDS)):
            hint = format_suggestion(unknown[0], TEMPLATE_FIELDS)
            raise ValueError(f"user: unknown field {{{unknown[0]}}} (fields: {expected}){hint}")
        for name in TEMPLATE_FIELDS:
            if counts[name] != 1:
                raise ValueError(f"user: the field {{{name}}} occurs {counts[name]} times, expected once")
        if in_system := _FIELD.findall(self.system):
            raise ValueError(f"system: {{{in_system[0]}}} is not replaced there; use fields in `user` ({expected})")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatePrompt:
    """A filled template per comparison. With the reply `choice`, verdicts can be scored over `candidates`."""

    template: JudgeTemplate
    candidates: tuple[str, ...]

    def build_verdict_request(self, prompt: Prompt, first: str, second: str, *, reasoning: str = "") -> EngineRequest:
        """The request for a verdict. There is no prefill and no separate reasoning."""
        if reasoning:
            raise ValueError("a template has no place for reasoning")
        texts = dict(zip(TEMPLATE_FIELDS, (render_turns(prompt), first, second), strict=True))
        system = (Message(role="system", content=self.template.system),) if self.template.system else ()
        user = Message(role="user", content=fill_template(self.template.user, texts))
        return EngineRequest(prompt=(*system, user))

    def parse_reply(self, text: str) -> SingleVerdict:
        """The verdict on the first line of a generated reply; `choice` is None if the line is not one."""
        if self.template.reply == "choice":
            return SingleVerdict(choice=parse_verdict(text, allow_ties=len(self.candidates) > 2), text=text)
        scores = parse_score_line(text)
        return SingleVerdict(choice=None if scores is None else compare_scores(*scores), scores=scores, text=text)


def fill_template(user: str, texts: Mapping[str, str]) -> str:
    """Replaces every field by its text in tags, in one pass, so that the texts themselves are not searched for fields."""
    return _FIELD.sub(lambda match: wrap_in_tags(match[1], texts[match[1]]), user)


@cache
def load_judge_templates() -> dict[str, JudgeTemplate]:
    """The built-in templates by name."""
    text = files("trimtab.prompts").joinpath("judge_prompts.yaml").read_text(encoding="utf-8")
    return {name: JudgeTemplate.model_validate(template) for name, template in yaml.safe_load(text).items()}


def resolve_judge_template(value: Any) -> Any:
    """The built-in template of this name; any other value unchanged. Raises `ValueError` for an unknown name."""
    if not isinstance(value, str):
        return value
    templates = load_judge_templates()
    if value not in templates:
        raise ValueError(
            f"unknown prompt {value!r} (built-in: {', '.join(templates)}){format_suggestion(value, list(templates))}; "
            "a custom prompt is a mapping with `user`"
        )
    return templates[value]
