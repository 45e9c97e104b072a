"""Reads rows as prompts without responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from trimtab.data.parsing.column_settings import NO_COLUMN_SETTINGS, ColumnSettings
from trimtab.data.parsing.context_columns import INSTRUCTION_COLUMN, add_context, add_input
from trimtab.data.parsing.distinct_rows import parse_distinct_rows
from trimtab.data.parsing.instruction_rows import MESSAGES_COLUMN
from trimtab.data.parsing.messages import is_message_list, parse_messages, parse_turns, validate_turns
from trimtab.data.parsing.rows import Cells, SourceRow, format_columns, is_empty
from trimtab.data.parsing.text_values import UnusableRowError
from trimtab.errors import DataError
from trimtab.types import Prompt, RowFailure, prompt_hash, text_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDataset:
    """Distinct prompts, and a failure for every row that gave none or repeats one."""

    prompts: tuple[Prompt, ...]
    failures: tuple[RowFailure, ...] = ()


@runtime_checkable
class PromptSource(Protocol):
    """A source whose rows can be read as prompts, with or without responses."""

    def load_prompts(self) -> PromptDataset:
        """Raises `DataError` if no row has a prompt."""
        ...

    def content_hash(self) -> str: ...


def build_prompts(
    rows: Iterable[SourceRow | RowFailure],
    origin: str,
    columns: ColumnSettings = NO_COLUMN_SETTINGS,
    *,
    limit: int | None = None,
    seed: int = 0,
) -> PromptDataset:
    """Each prompt once, in the order of the rows. With `limit`, a random sample, by the hash of the texts.

    Raises `DataError` if no row has a prompt.
    """
    found, failures = parse_distinct_rows(rows, lambda cells: parse_prompt_row(cells, columns), prompt_hash, "prompt")
    if not found and not failures:
        raise DataError(f"{origin}: has no rows; expected rows with a column such as prompt")
    if not found:
        raise DataError(
            f"{origin}: none of the {len(failures)} rows has a prompt, starting with {failures[0].location}: "
            f"{failures[0].reason}"
        )
    sample = set(found) if limit is None else set(sorted(found, key=lambda key: text_hash(str(seed), key))[:limit])
    return PromptDataset(
        prompts=tuple(prompt for key, prompt in found.items() if key in sample), failures=tuple(failures)
    )


def parse_prompt_row(cells: Cells, columns: ColumnSettings = NO_COLUMN_SETTINGS) -> Prompt:
    """The prompt of a row: a column, or `messages` without a last turn of the assistant. Raises `UnusableRowError`."""
    name = next((n for n in (columns.get_name("prompt"), INSTRUCTION_COLUMN) if not is_empty(cells.get(n))), None)
    if name is None and is_message_list(cells.get(MESSAGES_COLUMN)):
        turns = parse_messages(cells[MESSAGES_COLUMN], f"{MESSAGES_COLUMN!r}")
        turns = turns[:-1] if turns[-1].role == "assistant" else turns
        return validate_turns(add_context(turns, cells, columns, (MESSAGES_COLUMN,)), f"{MESSAGES_COLUMN!r}")
    if name is None and columns.get_name("prompt") in cells:
        raise UnusableRowError(f"{columns.get_name('prompt')!r} is empty")
    if name is None:
        raise UnusableRowError(
            f"its columns have no prompt: {format_columns(cells)}; expected prompt, instruction or messages, or "
            "--data columns.prompt=NAME"
        )
    turns = add_input(parse_turns(cells[name], f"{name!r}"), cells, name)
    return validate_turns(add_context(turns, cells, columns, (name,)), f"{name!r}")
