"""Detects a source's row layout and parses its rows into pairs."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trimtab.data.parsing.files import SourceRow, format_columns
from trimtab.data.parsing.messages import (
    UnusableRowError,
    describe_value,
    is_open_transcript,
    is_transcript,
    parse_messages,
    parse_prompt,
    parse_response,
    parse_text,
    parse_transcript,
    validate_turns,
)
from trimtab.errors import DataError
from trimtab.types import Pair, Prompt

LayoutName = Literal["auto", "explicit", "implicit", "transcript", "responses", "safety"]
Cells = Mapping[str, Any]

ACCEPTED_LAYOUTS = (
    "prompt, chosen, rejected (text or messages), or context for prompt (messages); "
    "chosen, rejected that share their prompt (messages, 'Human:'/'Assistant:' transcripts, or text); "
    "prompt, response_a, response_b and at most one of label, preferred, preference, winner; "
    "one response per row with a numeric rating (set `rating_column: COLUMN`)"
)
RESPONSE_COLUMNS = (("response_a", "response_b"), ("response_0", "response_1"), ("response_1", "response_2"))
LABEL_COLUMNS = ("label", "preferred", "preference", "winner")
SAFETY_COLUMNS = ("is_response_0_safe", "is_response_1_safe", "better_response_id", "safer_response_id")
# Plain text counts as prompt and response in one only if 9 in 10 rows share at least two words: two responses without
# their prompt also start with the same word now and then.
MIN_SHARED_WORDS, MIN_SHARED_FRACTION = 2, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A row layout: its display name, and the parser of one row, which raises `UnusableRowError`."""

    name: str
    parse: Callable[[Cells], Pair]


def detect_layout(sample: Sequence[SourceRow], origin: str, requested: LayoutName = "auto") -> Layout:
    """Detects the layout from the columns and value types of the first rows, unless a layout is `requested`.

    Raises `DataError` with `origin`, the columns found and the accepted layouts if none fits.
    """
    columns = list(dict.fromkeys(name for row in sample for name in row.cells))
    layout_name = _detect_layout_name(columns, sample, origin) if requested == "auto" else requested
    missing = [name for name in _required_columns(layout_name, columns) if name not in columns]
    if missing:
        raise _no_layout_error(
            origin, columns, f"layout {layout_name!r} needs the column {', '.join(map(repr, missing))}"
        )
    if layout_name == "responses":
        return _build_responses_layout(columns, sample, origin)
    if layout_name == "safety":
        return Layout(name="two responses, the better one if both are safe, else the safer one", parse=_parse_safety)
    if layout_name == "explicit":
        column = _prompt_column(columns)
        value_format = _detect_value_format(sample, column, is_open_transcript)
        return Layout(
            name=f"preference, {value_format}, explicit prompt", parse=lambda cells: _parse_explicit(cells, column)
        )
    if layout_name == "transcript":
        return Layout(name="preference, transcript, implicit prompt", parse=_parse_transcript_pair)
    return Layout(name=f"preference, {_detect_value_format(sample, 'chosen')}, implicit prompt", parse=_parse_implicit)


def _detect_layout_name(columns: Sequence[str], sample: Sequence[SourceRow], origin: str) -> LayoutName:
    if "prompt" in columns and not {"chosen", "rejected"} <= set(columns):
        if {"response_0", "response_1", *SAFETY_COLUMNS} <= set(columns):
            return "safety"
        if any(set(pair) <= set(columns) for pair in RESPONSE_COLUMNS):
            return "responses"
    elif {"chosen", "rejected"} <= set(columns):
        explicit = "prompt" in columns or (
            "context" in columns and _detect_value_format(sample, "context") == "messages"
        )
        return "explicit" if explicit else _detect_implicit_layout(columns, sample, origin)
    raise _no_layout_error(origin, columns, "no layout fits")


def _detect_implicit_layout(columns: Sequence[str], sample: Sequence[SourceRow], origin: str) -> LayoutName:
    if _detect_value_format(sample, "chosen") == "messages":
        return "implicit"
    if _holds_for_fraction(sample, lambda cells: is_transcript(cells.get("chosen")), 0.5):
        return "transcript"
    if _holds_for_fraction(sample, _shares_words, MIN_SHARED_FRACTION):
        return "implicit"
    raise _no_layout_error(
        origin, columns, "'chosen' and 'rejected' do not start with a shared prompt, and 'prompt' is missing"
    )


def _shares_words(cells: Cells) -> bool:
    chosen, rejected = cells.get("chosen"), cells.get("rejected")
    if not (isinstance(chosen, str) and isinstance(rejected, str)):
        return False
    return len(_common_prompt_prefix(chosen, rejected).split()) >= MIN_SHARED_WORDS


def _holds_for_fraction(sample: Sequence[SourceRow], predicate: Callable[[Cells], bool], fraction: float) -> bool:
    return sum(predicate(row.cells) for row in sample) >= fraction * len(sample)


def _detect_value_format(
    sample: Sequence[SourceRow], column: str, is_transcript_cell: Callable[[Any], bool] = is_transcript
) -> str:
    formats = Counter(
        "messages" if isinstance(value, list) else "transcript" if is_transcript_cell(value) else "text"
        for row in sample
        if (value := row.cells.get(column)) is not None
    )
    return formats.most_common(1)[0][0] if formats else "text"


def _required_columns(layout_name: LayoutName, columns: Sequence[str]) -> tuple[str, ...]:
    if layout_name == "responses":
        return ("prompt", *next((pair for pair in RESPONSE_COLUMNS if set(pair) <= set(columns)), RESPONSE_COLUMNS[0]))
    if layout_name == "safety":
        return ("prompt", "response_0", "response_1", *SAFETY_COLUMNS)
    return (_prompt_column(columns), "chosen", "rejected") if layout_name == "explicit" else ("chosen", "rejected")


def _prompt_column(columns: Sequence[str]) -> str:
    return "context" if "context" in columns and "prompt" not in columns else "prompt"


def _no_layout_error(origin: str, columns: Sequence[str], problem: str) -> DataError:
    missing = [name for name in ("prompt", "chosen", "rejected") if name not in columns]
    similar = {name: difflib.get_close_matches(name.lower(), missing, n=1, cutoff=0.75) for name in columns}
    hint = ", ".join(f"{matches[0]!r} for {format_columns([name])}" for name, matches in similar.items() if matches)
    suggestion = f"; did you mean {hint}?" if hint else ""
    return DataError(
        f"{origin}: {problem}; columns found: {format_columns(columns)}{suggestion}; accepted: {ACCEPTED_LAYOUTS}"
    )


def _parse_explicit(cells: Cells, column: str) -> Pair:
    chosen, rejected = get_cell(cells, "chosen"), get_cell(cells, "rejected")
    prompt = parse_prompt(get_cell(cells, column), f"{column!r}")
    if is_transcript(chosen) and is_transcript(rejected):
        raise UnusableRowError(
            "'chosen' and 'rejected' are whole transcripts that include the prompt; set `layout: transcript`"
        )
    first, second = parse_response(chosen, "'chosen'", prompt), parse_response(rejected, "'rejected'", prompt)
    if is_open_transcript(cells[column]):
        first, second = first.strip(), second.strip()  # the space after `Assistant:` is part of the transcript
    return build_pair(prompt, first, second, "first")


def _parse_transcript_pair(cells: Cells) -> Pair:
    chosen, rejected = (parse_text(get_cell(cells, name), f"{name!r}") for name in ("chosen", "rejected"))
    return _pair_from_conversations(parse_transcript(chosen, "'chosen'"), parse_transcript(rejected, "'rejected'"))


def _parse_implicit(cells: Cells) -> Pair:
    chosen, rejected = get_cell(cells, "chosen"), get_cell(cells, "rejected")
    if isinstance(chosen, list) and isinstance(rejected, list):
        return _pair_from_conversations(parse_messages(chosen, "'chosen'"), parse_messages(rejected, "'rejected'"))
    chosen, rejected = parse_text(chosen, "'chosen'"), parse_text(rejected, "'rejected'")
    if chosen.strip() == rejected.strip():
        raise UnusableRowError("'chosen' and 'rejected' are identical")
    shared = _common_prompt_prefix(chosen, rejected)
    if not shared.strip():
        raise UnusableRowError("'chosen' and 'rejected' do not start with a shared prompt")
    first = parse_text(chosen[len(shared) :], "'chosen' after the shared prompt").strip()
    second = parse_text(rejected[len(shared) :], "'rejected' after the shared prompt").strip()
    return build_pair(parse_prompt(shared.strip()), first, second, "first")


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


def _pair_from_conversations(chosen: Prompt, rejected: Prompt) -> Pair:
    """The pair of two conversations that differ only in their last turn, the assistant's."""
    for name, turns in (("'chosen'", chosen), ("'rejected'", rejected)):
        if not turns or turns[-1].role != "assistant":
            raise UnusableRowError(f"{name} does not end with an assistant turn")
    if chosen[:-1] != rejected[:-1]:
        pairs = zip(chosen[:-1], rejected[:-1], strict=False)
        shorter = min(len(chosen), len(rejected)) - 1
        turn = 1 + next((number for number, (one, other) in enumerate(pairs) if one != other), shorter)
        raise UnusableRowError(f"the prompts of 'chosen' and 'rejected' differ, starting with turn {turn}")
    return build_pair(
        validate_turns(chosen[:-1], "the shared prompt"), chosen[-1].content, rejected[-1].content, "first"
    )


def _build_responses_layout(columns: Sequence[str], sample: Sequence[SourceRow], origin: str) -> Layout:
    first, second = next(pair for pair in RESPONSE_COLUMNS if set(pair) <= set(columns))
    labels = [name for name in LABEL_COLUMNS if name in columns]
    if len(labels) > 1:
        raise _no_layout_error(
            origin, columns, f"{' and '.join(map(repr, labels))} could both be the label column; keep one of them"
        )
    label = labels[0] if labels else None

    def parse(cells: Cells) -> Pair:
        prompt = parse_prompt(get_cell(cells, "prompt"))
        first_text, second_text = (
            parse_response(get_cell(cells, name), f"{name!r}", prompt) for name in (first, second)
        )
        # A row without the label key is unlabeled, like a row with an empty label.
        preferred = _parse_label(cells.get(label), label, first, second) if label else None
        return build_pair(prompt, first_text, second_text, preferred, names=(first, second))

    value_format = _detect_value_format(sample, "prompt", is_open_transcript)
    return Layout(
        name=f"two responses, {value_format}, " + (f"labels in {label!r}" if label else "unlabeled"), parse=parse
    )


def _parse_label(value: Any, column: str, first: str, second: str) -> Literal["first", "second"] | None:
    if value is None or value == "":
        return None
    meanings: dict[str, Literal["first", "second"]] = {first: "first", second: "second"}
    if first == "response_a":
        meanings |= {"a": "first", "A": "first", "b": "second", "B": "second"}
    if isinstance(value, str) and value in meanings:
        return meanings[value]
    expected = ", ".join(map(repr, meanings))
    raise UnusableRowError(f"{column!r} is {describe_value(value)}; expected {expected}, or empty if unlabeled")


def _parse_safety(cells: Cells) -> Pair:
    """The PKU-SafeRLHF layout, with the label that SEAM's released code derives from it."""
    prompt = parse_prompt(get_cell(cells, "prompt"))
    first_text, second_text = (
        parse_response(get_cell(cells, name), f"{name!r}", prompt) for name in ("response_0", "response_1")
    )
    is_safe = [_parse_bool(cells, name) for name in SAFETY_COLUMNS[:2]]
    preferred = _parse_response_number(cells, "better_response_id" if all(is_safe) else "safer_response_id")
    return build_pair(prompt, first_text, second_text, preferred, names=("response_0", "response_1"))


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
