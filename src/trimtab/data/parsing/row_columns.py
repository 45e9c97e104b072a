"""Finds the columns of one row that hold its prompt and its two responses. Other rows have no influence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trimtab.data.parsing.column_settings import ColumnSettings
from trimtab.data.parsing.messages import is_message_list, is_transcript
from trimtab.data.parsing.rows import Cells, is_empty, is_missing
from trimtab.data.parsing.summaries import has_summaries
from trimtab.data.parsing.text_values import UnusableRowError

LayoutName = Literal["auto", "explicit", "implicit", "transcript", "responses", "safety"]
# A layout that `layout:` names, or one of public datasets: whole conversations, lists of rated responses, two summaries.
FoundLayout = Literal[
    "explicit", "implicit", "transcript", "responses", "safety", "conversations", "candidates", "summaries"
]
# Layouts whose columns state which response is preferred.
LABELED_BY_COLUMN: tuple[FoundLayout, ...] = ("explicit", "implicit", "transcript")
# Layouts that have a column of labels.
LABELED_BY_VALUE: tuple[FoundLayout, ...] = ("responses", "conversations")

SAFETY_COLUMNS = ("is_response_0_safe", "is_response_1_safe", "better_response_id", "safer_response_id")
# The last pair is that of OpenAI's preference files.
PREFERENCE_COLUMNS = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("preferred_output", "non_preferred_output"),
)
# Names of a prompt of text, by the first response's column, and of messages. The first one in a row is read.
_PROMPT_NAMES = {"chosen": ("instruction",), "chosen_response": ("instruction",), "preferred_output": ("input",)}
_MESSAGES_NAMES = ("context", "messages", "conversations")
RESPONSE_COLUMNS = (
    ("response_a", "response_b"),
    ("response_0", "response_1"),
    ("response_1", "response_2"),
    ("response1", "response2"),
    ("human_ref_A", "human_ref_B"),
)
CONVERSATION_COLUMNS = ("conversation_a", "conversation_b")
# The columns with the models that wrote `response_a` and `response_b`, as `trimtab sample` writes them.
MODEL_COLUMNS = ("model_a", "model_b")
# Columns with the list of a prompt's rated responses, as in UltraFeedback and Nectar.
CANDIDATE_COLUMNS = ("completions", "answers")
_ANY_RESPONSE = re.compile(r"response_?([a-h]|\d)", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class RowColumns:
    """Where a row's prompt and responses are. Without `prompt`, both responses contain it."""

    layout: FoundLayout
    first: str
    second: str = ""
    prompt: str | None = None

    @property
    def used(self) -> tuple[str, ...]:
        return tuple([name for name in (self.prompt, self.first, self.second) if name])


def find_row_columns(cells: Cells, settings: ColumnSettings, requested: LayoutName = "auto") -> RowColumns | None:
    """The columns of a row, or None if no layout fits. Raises `UnusableRowError` for a row with more than two responses."""
    if requested != "auto":
        return _find_requested(cells, settings, requested)
    # Columns with values come first, because tables of several layouts fill unused columns with null.
    for is_available in (lambda name: not is_missing(cells.get(name)), lambda name: name in cells):
        found = _find_columns(cells, settings, is_available)
        if found is not None:
            return found
    return None


def find_response_models(cells: Cells, columns: RowColumns, settings: ColumnSettings) -> tuple[str, str] | None:
    """The models that wrote both responses, in the order of the row.

    None for a row that does not name both, and for responses in columns that say which one is better: the columns of models
    are those of `response_a` and `response_b`.
    """
    first, second = cells.get(MODEL_COLUMNS[0]), cells.get(MODEL_COLUMNS[1])
    if not isinstance(first, str) or not isinstance(second, str):
        return None
    ordered = ((settings.get_name("response_a"), settings.get_name("response_b")), CONVERSATION_COLUMNS)
    if (columns.first, columns.second) not in ordered:
        return None
    return (first, second) if first.strip() and second.strip() else None


def list_required_columns(layout: LayoutName, settings: ColumnSettings) -> tuple[str, ...]:
    """The columns that a requested layout needs, by their names in the source."""
    chosen, rejected, prompt = (settings.get_name(role) for role in ("chosen", "rejected", "prompt"))
    if layout == "responses":
        return (prompt, settings.get_name("response_a"), settings.get_name("response_b"))
    if layout == "safety":
        return (prompt, "response_0", "response_1", *SAFETY_COLUMNS)
    return (prompt, chosen, rejected) if layout == "explicit" else (chosen, rejected)


def _find_requested(cells: Cells, settings: ColumnSettings, layout: LayoutName) -> RowColumns | None:
    if layout == "responses":
        found = _find_columns(cells, settings, lambda name: name in cells and name not in PREFERENCE_COLUMNS[0])
        return found if found is not None and found.layout == "responses" else None
    required = list_required_columns(layout, settings)
    if layout == "explicit" and required[0] not in cells and "context" in cells:
        required = ("context", *required[1:])
    if not set(required) <= cells.keys():
        return None
    if layout == "implicit" or layout == "transcript":  # noqa: PLR1714 - narrows the type
        return RowColumns(layout=layout, first=required[0], second=required[1])
    assert layout != "auto"  # noqa: S101 - for the type checker
    return RowColumns(layout=layout, prompt=required[0], first=required[1], second=required[2])


def _find_columns(cells: Cells, settings: ColumnSettings, is_available: Callable[[str], bool]) -> RowColumns | None:
    own_responses = {"response_a", "response_b"} & settings.names.keys()
    if not own_responses:
        preference = _find_preference(cells, settings, is_available)
        if preference is not None:
            return preference
        if all(map(is_available, (settings.get_name("prompt"), "response_0", "response_1", *SAFETY_COLUMNS))):
            return RowColumns(
                layout="safety", prompt=settings.get_name("prompt"), first="response_0", second="response_1"
            )
    own = (settings.get_name("response_a"), settings.get_name("response_b"))
    for first, second in (own,) if own_responses else RESPONSE_COLUMNS:
        if is_available(first) and is_available(second):
            prompt = _find_response_prompt(cells, settings, first, is_available)
            if prompt is not None:
                _refuse_more_responses(cells, first, second)
                return RowColumns(layout="responses", prompt=prompt, first=first, second=second)
    pairs = [own] if own_responses else [CONVERSATION_COLUMNS, own]
    for first, second in pairs:
        if is_message_list(cells.get(first)) and is_message_list(cells.get(second)):
            return RowColumns(layout="conversations", first=first, second=second)
    return None if own_responses else _find_candidates(cells, settings)


def _find_preference(cells: Cells, settings: ColumnSettings, is_available: Callable[[str], bool]) -> RowColumns | None:
    own = (settings.get_name("chosen"), settings.get_name("rejected"))
    for first, second in (own, *PREFERENCE_COLUMNS[1:]):
        if not (is_available(first) and is_available(second)):
            continue
        prompt = _find_preference_prompt(cells, settings, first, second)
        if prompt is not None:
            return RowColumns(layout="explicit", prompt=prompt, first=first, second=second)
        is_text = isinstance(cells[first], str) and (is_transcript(cells[first]) or is_transcript(cells[second]))
        return RowColumns(layout="transcript" if is_text else "implicit", first=first, second=second)
    return None


def _find_preference_prompt(cells: Cells, settings: ColumnSettings, first: str, second: str) -> str | None:
    """The column of the prompt, or None if the responses contain it."""
    whole = is_message_list(cells[first]) or is_transcript(cells[first]) or is_transcript(cells[second])
    prompt = settings.get_name("prompt")
    if prompt in cells and not (is_missing(cells[prompt]) and whole):
        return prompt
    if is_message_list(cells.get(_MESSAGES_NAMES[0])):
        return _MESSAGES_NAMES[0]
    if "prompt" in settings.names:
        return None
    names = _PROMPT_NAMES.get(first, ())
    if not whole:
        names = (*(name for name in _MESSAGES_NAMES[1:] if is_message_list(cells.get(name))), *names)
    elif first == "chosen":
        return None
    return next((name for name in names if not is_empty(cells.get(name))), None)


def _find_response_prompt(
    cells: Cells, settings: ColumnSettings, first: str, is_available: Callable[[str], bool]
) -> str | None:
    prompt = settings.get_name("prompt")
    if is_available(prompt):
        return prompt
    if is_message_list(cells.get("context")):
        return "context"
    return "history" if first == "human_ref_A" and is_available("history") else None


def _refuse_more_responses(cells: Cells, first: str, second: str) -> None:
    others = [name for name, value in cells.items() if _ANY_RESPONSE.fullmatch(name) and not is_empty(value)]
    if _ANY_RESPONSE.fullmatch(first) and len(others) > 2:
        raise UnusableRowError(
            f"{len(others)} responses ({', '.join(sorted(others))}); choose two: `columns: {{response_a: COLUMN, "
            "response_b: COLUMN}`"
        )


def _find_candidates(cells: Cells, settings: ColumnSettings) -> RowColumns | None:
    if has_summaries(cells):
        return RowColumns(layout="summaries", prompt="info", first="summaries")
    column = next((name for name in CANDIDATE_COLUMNS if isinstance(cells.get(name), list)), None)
    prompt = next((name for name in (settings.get_name("prompt"), "instruction") if name in cells), None)
    if column is None or prompt is None:
        return None
    return RowColumns(layout="candidates", prompt=prompt, first=column)
