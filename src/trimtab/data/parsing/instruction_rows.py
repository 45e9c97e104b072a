"""Reads rows with one response each as instructions, as in Alpaca and Dolly."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab.data.instructions import Instruction, InstructionDataset
from trimtab.data.parsing.column_settings import NO_COLUMN_SETTINGS, ColumnSettings
from trimtab.data.parsing.context_columns import INSTRUCTION_COLUMN, add_context, add_input
from trimtab.data.parsing.distinct_rows import parse_distinct_rows
from trimtab.data.parsing.messages import is_message_list, parse_messages, parse_response, parse_turns, validate_turns
from trimtab.data.parsing.rows import Cells, SourceRow, format_columns, is_empty
from trimtab.data.parsing.text_values import UnusableRowError
from trimtab.errors import DataError
from trimtab.types import Prompt, RowFailure, prompt_hash, text_hash

MESSAGES_COLUMN = "messages"
ANSWER_COLUMNS = ("response", "output", "completion")


def build_instructions(
    rows: Iterable[SourceRow | RowFailure],
    origin: str,
    columns: ColumnSettings = NO_COLUMN_SETTINGS,
    *,
    limit: int | None = None,
    seed: int = 0,
) -> InstructionDataset:
    """Each instruction once, and a failure for every other row. With `limit`, a random sample, by the hash of the texts.

    Raises `DataError` if no row is usable.
    """
    found, failures = parse_distinct_rows(
        rows,
        lambda cells: parse_instruction(cells, columns),
        lambda each: text_hash(prompt_hash(each.prompt), each.response),
        "instruction",
    )
    if not found:
        reason = f", starting with {failures[0].location}: {failures[0].reason}" if failures else ""
        raise DataError(f"{origin}: none of the {len(failures)} rows is usable as an instruction{reason}")
    keys = list(found) if limit is None else sorted(found, key=lambda key: text_hash(str(seed), key))[:limit]
    return InstructionDataset(instructions=tuple(found[key] for key in keys), failures=tuple(failures))


def parse_instruction(cells: Cells, columns: ColumnSettings = NO_COLUMN_SETTINGS) -> Instruction:
    """The prompt and the response of a row: `messages`, or a column for each. Raises `UnusableRowError` if it has none."""
    if is_message_list(cells.get(MESSAGES_COLUMN)) and not columns.names:
        return _parse_conversation(parse_messages(cells[MESSAGES_COLUMN], f"{MESSAGES_COLUMN!r}"), cells, columns)
    names = (columns.get_name("response"), *ANSWER_COLUMNS[1:]) if "response" not in columns.names else ()
    response = next((name for name in (*names, columns.get_name("response")) if not is_empty(cells.get(name))), None)
    prompt = next((n for n in (columns.get_name("prompt"), INSTRUCTION_COLUMN) if not is_empty(cells.get(n))), None)
    if prompt is None or response is None:
        raise UnusableRowError(
            f"its columns have no {'prompt' if prompt is None else 'response'}: {format_columns(cells)}; expected prompt and "
            "response, instruction and output, or messages"
        )
    turns = add_input(parse_turns(cells[prompt], f"{prompt!r}"), cells, prompt)
    full = validate_turns(add_context(turns, cells, columns, (prompt, response)), f"{prompt!r}")
    return Instruction(prompt=full, response=parse_response(cells[response], f"{response!r}", full))


def _parse_conversation(turns: Prompt, cells: Cells, columns: ColumnSettings) -> Instruction:
    """A conversation whose last turn is the response."""
    if not turns or turns[-1].role != "assistant":
        raise UnusableRowError(f"{MESSAGES_COLUMN!r} does not end with an assistant turn")
    prompt = add_context(turns[:-1], cells, columns, (MESSAGES_COLUMN,))
    return Instruction(prompt=validate_turns(prompt, f"{MESSAGES_COLUMN!r}"), response=turns[-1].content)
