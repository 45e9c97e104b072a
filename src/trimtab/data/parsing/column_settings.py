"""The settings that name a source's own columns and the values of its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

ColumnRole = Literal[
    "prompt", "chosen", "rejected", "response_a", "response_b", "response", "label", "system", "history", "tools"
]


def format_label_value(value: Any) -> str:
    """A label as text: `1` for 1, 1.0 and "1.0", `true` for True. Surrounding spaces are removed."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    whole, point, zeros = text.partition(".")
    return whole if point and whole.lstrip("-").isdigit() and zeros and not zeros.strip("0") else text


def _format_keys(values: Any) -> Any:
    return {format_label_value(key): value for key, value in values.items()} if isinstance(values, Mapping) else values


ColumnNames = Annotated[
    dict[ColumnRole, str | None],
    Field(description="your column for each of Trimtab's: {prompt: question, response_a: answer_1}; null: not read"),
]
LabelValues = Annotated[
    dict[str, Literal["a", "b"] | None],
    BeforeValidator(_format_keys),
    Field(description='the response that each label names: {"1": a, "2": b}; null: no preference, unlabeled'),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSettings:
    """`names` maps a role to a column, or to None if the role is not read. `label_values` maps a label to a response."""

    names: Mapping[ColumnRole, str | None] = field(default_factory=dict)
    label_values: Mapping[str, Literal["a", "b"] | None] = field(default_factory=dict)

    def get_name(self, role: ColumnRole) -> str:
        """The column of a role, which is the role's own name unless it is set."""
        return self.names.get(role) or role

    def without_texts(self) -> ColumnSettings:
        """The settings for rows whose prompt and responses already have Trimtab's names."""
        context: tuple[ColumnRole, ...] = ("system", "history", "tools")
        return replace(self, names={role: self.names[role] for role in context if role in self.names}, label_values={})


NO_COLUMN_SETTINGS = ColumnSettings()
