"""Parses one row of any layout into a pair. A row's meaning depends on the row alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.data.parsing.candidates import select_best_and_worst
from trimtab.data.parsing.column_settings import ColumnSettings
from trimtab.data.parsing.context_columns import CONTEXT_COLUMNS, add_context, add_input, validate_no_history
from trimtab.data.parsing.json_turns import parse_json_turns
from trimtab.data.parsing.labels import find_label_columns, parse_row_label
from trimtab.data.parsing.messages import (
    is_message_list,
    is_open_transcript,
    is_transcript,
    parse_messages,
    parse_prompt,
    parse_response,
    parse_transcript,
    parse_turns,
    validate_turns,
)
from trimtab.data.parsing.row_columns import MODEL_COLUMNS, SAFETY_COLUMNS, RowColumns
from trimtab.data.parsing.rows import Cells
from trimtab.data.parsing.summaries import format_post, parse_summaries
from trimtab.data.parsing.text_values import UnusableRowError, describe_value, parse_text
from trimtab.types import Choice, Pair, Prompt, build_user_prompt

Responses = tuple[Prompt, str, str]
_TURN_HEADING = re.compile(r"(#{1,4} ?(assistant|response|answer)|assistant|gpt|bot) ?:", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class ParsedPair:
    """A row's pair and the name of its layout. `unread` are the columns that an unlabeled row has besides its texts.

    `first` is the response that comes first in the row.
    """

    pair: Pair
    layout: str
    first: Choice
    unread: tuple[str, ...] = ()


def parse_row(cells: Cells, columns: RowColumns, settings: ColumnSettings) -> ParsedPair:
    """The pair of a row. Raises `UnusableRowError` with the reason if the row has none."""
    if columns.layout in ("responses", "conversations"):
        return _parse_responses(cells, columns, settings)
    if columns.layout == "safety":
        return _parse_safety(cells, columns, settings)
    if columns.layout == "candidates":
        return _parse_candidates(cells, columns, settings)
    if columns.layout == "summaries":
        return _parse_summaries(cells)
    prompt, first, second = _parse_texts(cells, columns, settings)
    pair = build_pair(prompt, first, second, "first", names=(columns.first, columns.second))
    prompt_kind = "explicit prompt" if columns.layout == "explicit" else "implicit prompt"
    layout = f"preference, {_describe_format(cells, columns)}, {prompt_kind}"
    return ParsedPair(pair=pair, layout=layout, first=pair.get_choice(first))


def _describe_format(cells: Cells, columns: RowColumns) -> str:
    if columns.layout == "transcript":
        return "transcript"
    value = cells[columns.prompt or columns.first]
    if is_message_list(value):
        return "messages"
    return "transcript" if columns.prompt and is_open_transcript(value) else "text"


def _parse_texts(cells: Cells, columns: RowColumns, settings: ColumnSettings) -> Responses:
    """The prompt with its context, and the two responses in the order of their columns."""
    if columns.prompt is None:
        turns, first, second = _parse_without_prompt(cells, columns)
        validate_no_history(cells, settings)
    else:
        turns, first, second = _parse_with_prompt(cells, columns, settings, columns.prompt)
    prompt = add_context(turns, cells, settings, columns.used)
    return validate_turns(prompt, f"{columns.prompt!r}" if columns.prompt else "the shared prompt"), first, second


def _parse_with_prompt(cells: Cells, columns: RowColumns, settings: ColumnSettings, column: str) -> Responses:
    first, second = get_cell(cells, columns.first), get_cell(cells, columns.second)
    if columns.layout == "explicit" and is_transcript(first) and is_transcript(second):
        raise UnusableRowError(
            f"{columns.first!r} and {columns.second!r} are whole transcripts that include the prompt; set `layout: "
            "transcript`"
        )
    turns = parse_json_turns(get_cell(cells, column), first, second, f"{column!r}")
    if turns is not None:
        return turns
    prompt = add_input(parse_turns(cells[column], f"{column!r}"), cells, column)
    conversations = _parse_conversations_after(prompt, cells, columns, column)
    if conversations is not None:
        validate_no_history(cells, settings)
        return conversations
    validate_turns(prompt, f"{column!r}")
    texts = [parse_response(cells[name], f"{name!r}", prompt) for name in (columns.first, columns.second)]
    if is_open_transcript(cells[column]):
        texts = [text.strip() for text in texts]  # the space after `Assistant:` is part of the transcript
    return prompt, texts[0], texts[1]


def _parse_conversations_after(prompt: Prompt, cells: Cells, columns: RowColumns, column: str) -> Responses | None:
    """The shared prompt of two whole conversations that contain the turn in `column`.

    None if the responses are not conversations, or start with the turns of `column`.
    """
    names = (columns.first, columns.second)
    if not all(is_message_list(cells[name]) for name in names):
        return None
    first, second = (parse_messages(cells[name], f"{name!r}") for name in names)
    extra = [turns[len(prompt) :] if turns[: len(prompt)] == prompt else turns for turns in (first, second)]
    if any(len(turns) == 1 for turns in extra) or not all(
        any(turn.role == "user" for turn in turns) for turns in (first, second)
    ):
        return None
    shared, one, other = _split_conversations(first, second, names)
    texts = {turn.content.strip() for turn in shared if turn.role == "user"}
    if not prompt or prompt[-1].content.strip() not in texts:
        raise UnusableRowError(
            f"{column!r} is none of the user turns of {names[0]!r}; to use the conversations alone, set `layout: implicit`"
        )
    return shared, one, other


def _parse_without_prompt(cells: Cells, columns: RowColumns) -> Responses:
    names = (columns.first, columns.second)
    first, second = get_cell(cells, columns.first), get_cell(cells, columns.second)
    if columns.layout != "transcript" and is_message_list(first) and is_message_list(second):
        conversations = [parse_messages(cells[name], f"{name!r}") for name in names]
        return _split_conversations(conversations[0], conversations[1], names)
    texts = [parse_text(cells[name], f"{name!r}") for name in names]
    if columns.layout == "transcript":
        transcripts = [parse_transcript(text, f"{name!r}") for text, name in zip(texts, names, strict=True)]
        return _split_conversations(transcripts[0], transcripts[1], names)
    return _split_shared_text(texts[0], texts[1], names)


def _split_shared_text(first: str, second: str, names: tuple[str, str]) -> Responses:
    if first.strip() == second.strip():
        raise UnusableRowError(f"{names[0]!r} and {names[1]!r} are identical")
    shared = _common_prompt_prefix(first, second)
    if not shared.strip():
        raise UnusableRowError(f"{names[0]!r} and {names[1]!r} do not start with a shared prompt")
    texts = [
        _refuse_heading(parse_text(text[len(shared) :], f"{name!r} after the shared prompt").strip(), name)
        for text, name in zip((first, second), names, strict=True)
    ]
    return parse_prompt(shared.strip()), texts[0], texts[1]


def _refuse_heading(text: str, name: str) -> str:
    """The response. Raises `UnusableRowError` if it starts with the heading of a turn: the prompt before it is a dialog."""
    heading = _TURN_HEADING.match(text)
    if heading is not None:
        raise UnusableRowError(
            f"{name!r} after the shared prompt starts with {heading.group()!r}, the heading of a turn in another form of "
            "transcript; use messages, or turns that start with 'Human:' and 'Assistant:' after an empty line"
        )
    return text


def shares_words(cells: Cells, columns: RowColumns, count: int) -> bool:
    """Whether both texts start with the same `count` words."""
    first, second = cells.get(columns.first), cells.get(columns.second)
    if not (isinstance(first, str) and isinstance(second, str)):
        return False
    return len(_common_prompt_prefix(first, second).split()) >= count


def _common_prompt_prefix(chosen: str, rejected: str) -> str:
    """The common prefix up to its last line break, or up to its last whole word if no text is left before the line break."""
    length = next(
        (index for index, (one, other) in enumerate(zip(chosen, rejected, strict=False)) if one != other), None
    )
    common = chosen[:length] if length is not None else min(chosen, rejected, key=len)
    line = common.rpartition("\n")[0]
    if line.strip():
        return line
    match = re.match(r".*\s", common, re.DOTALL)
    return match.group() if match else ""


def _split_conversations(first: Prompt, second: Prompt, names: tuple[str, str]) -> Responses:
    """The shared prompt and the last turns of two conversations that differ only in their last turn, the assistant's."""
    for name, turns in zip(names, (first, second), strict=True):
        if not turns or turns[-1].role != "assistant":
            raise UnusableRowError(f"{name!r} does not end with an assistant turn")
    if first[:-1] != second[:-1]:
        pairs = zip(first[:-1], second[:-1], strict=False)
        shorter = min(len(first), len(second)) - 1
        turn = 1 + next((number for number, (one, other) in enumerate(pairs) if one != other), shorter)
        raise UnusableRowError(f"the prompts of {names[0]!r} and {names[1]!r} differ, starting with turn {turn}")
    return first[:-1], first[-1].content, second[-1].content


def _parse_responses(cells: Cells, columns: RowColumns, settings: ColumnSettings) -> ParsedPair:
    prompt, first, second = _parse_texts(cells, columns, settings)
    preferred = parse_row_label(cells, columns.first, columns.second, columns.used, settings)
    labels = find_label_columns(cells, columns.first, settings)
    pair = build_pair(prompt, first, second, preferred, names=(columns.first, columns.second))
    return ParsedPair(
        pair=pair,
        first=pair.get_choice(first),
        layout=f"two responses, {_describe_format(cells, columns)}, "
        + (f"labels in {labels[0]!r}" if labels else "unlabeled"),
        unread=() if labels else _list_unread(cells, columns),
    )


def _list_unread(cells: Cells, columns: RowColumns) -> tuple[str, ...]:
    """The columns that nothing reads. Those that name both responses' models are compared by the labels."""
    models = MODEL_COLUMNS if all(name in cells for name in MODEL_COLUMNS) else ()
    return tuple(name for name in cells if name not in (*columns.used, *CONTEXT_COLUMNS, *models))


def _parse_candidates(cells: Cells, columns: RowColumns, settings: ColumnSettings) -> ParsedPair:
    assert columns.prompt is not None  # noqa: S101 - for the type checker
    turns = add_input(parse_turns(get_cell(cells, columns.prompt), f"{columns.prompt!r}"), cells, columns.prompt)
    prompt = validate_turns(add_context(turns, cells, settings, columns.used), f"{columns.prompt!r}")
    best, worst = select_best_and_worst(cells[columns.first], columns.first)
    pair = build_pair(prompt, best, worst, "first", names=("best", "worst"))
    return ParsedPair(
        pair=pair,
        first=pair.get_choice(best),
        layout=f"best and worst of {columns.first!r}",
    )


def _parse_summaries(cells: Cells) -> ParsedPair:
    first, second, preferred = parse_summaries(cells)
    prompt = build_user_prompt(format_post(cells["info"]))
    pair = build_pair(prompt, first, second, preferred, names=("summary 1", "summary 2"))
    return ParsedPair(
        pair=pair, first=pair.get_choice(first), layout="two summaries of a post, the chosen one in 'choice'"
    )


def _parse_safety(cells: Cells, columns: RowColumns, settings: ColumnSettings) -> ParsedPair:
    """The PKU-SafeRLHF layout, with the label that SEAM's released code derives from it."""
    prompt, first, second = _parse_texts(cells, columns, settings)
    is_safe = [_parse_bool(cells, name) for name in SAFETY_COLUMNS[:2]]
    preferred = _parse_response_number(cells, "better_response_id" if all(is_safe) else "safer_response_id")
    pair = build_pair(prompt, first, second, preferred, names=("response_0", "response_1"))
    return ParsedPair(
        pair=pair,
        first=pair.get_choice(first),
        layout="two responses, the better one if both are safe, else the safer one",
    )


def _parse_bool(cells: Cells, column: str) -> bool:
    value = get_cell(cells, column)
    if not isinstance(value, bool):
        raise UnusableRowError(f"{column!r} is {describe_value(value)}; expected true or false")
    return value


def _parse_response_number(cells: Cells, column: str) -> Literal["first", "second"]:
    value = get_cell(cells, column)
    if isinstance(value, bool) or value not in (0, 1):
        raise UnusableRowError(f"{column!r} is {describe_value(value)}; expected 0 or 1, for response_0 or response_1")
    return "first" if value == 0 else "second"


def get_cell(cells: Cells, column: str) -> Any:
    """The value of a column. Raises `UnusableRowError` if the row does not have it."""
    if column not in cells:
        raise UnusableRowError(f"column {column!r} is missing from this row")
    return cells[column]


def build_pair(
    prompt: Prompt,
    first: str,
    second: str,
    preferred: Literal["first", "second"] | None,
    names: tuple[str, str] = ("chosen", "rejected"),
) -> Pair:
    """The pair of two responses. Raises `UnusableRowError` if they are identical except for surrounding white space."""
    if first.strip() == second.strip():
        raise UnusableRowError(f"{names[0]!r} and {names[1]!r} are identical")
    return Pair.from_responses(prompt, first, second, preferred)
