"""The error for columns that fit no layout, with the settings that would read them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.data.parsing.column_settings import format_label_value
from trimtab.data.parsing.labels import LOOKS_LIKE_LABEL
from trimtab.data.parsing.rows import format_column, format_columns, is_empty
from trimtab.errors import DataError

ACCEPTED_LAYOUTS = (
    "prompt, chosen, rejected (text or messages), or context for prompt (messages); "
    "chosen, rejected that share their prompt (messages, 'Human:'/'Assistant:' transcripts, or text); "
    "prompt, response_a, response_b and at most one of label, preferred, preference, winner; "
    "one response per row with a numeric rating (set `rating_column: COLUMN`)"
)
_PROMPT_NAMES = re.compile(
    r"prompt|question|instruction|query|input|request|problem|task|context|message|user", re.IGNORECASE
)
_CHOSEN_NAMES = re.compile(r"^(cho+sen|accept|prefer|better|best|good|win|positive|selected)", re.IGNORECASE)
_REJECTED_NAMES = re.compile(
    r"^(reject|refus|(dis|non_?|not_?|un)preferr?ed|worse|worst|bad|los|negative)", re.IGNORECASE
)
UNKNOWN = "COLUMN"


def build_no_layout_error(
    origin: str, columns: Sequence[str], problem: str, sample: Sequence[Mapping[str, Any]] = ()
) -> DataError:
    """The error, with the columns that were found and a suggested `columns` setting."""
    missing = [name for name in ("prompt", "chosen", "rejected") if name not in columns]
    similar = {name: difflib.get_close_matches(name.lower(), missing, n=1, cutoff=0.75) for name in columns}
    hint = ", ".join(f"{matches[0]!r} for {format_column(name)}" for name, matches in similar.items() if matches)
    suggestion = f"; did you mean {hint}?" if hint else ""
    settings = suggest_settings(columns, sample)
    # names for all columns that are needed are enough
    accepted = f"; accepted: {ACCEPTED_LAYOUTS}" if hint or any(UNKNOWN in setting for setting in settings) else ""
    return DataError(
        f"{origin}: {problem}; columns found: {format_columns(columns)}{suggestion}; to name the columns, add "
        f"{_format_settings(settings)}{accepted}"
    )


def _format_settings(settings: Sequence[str]) -> str:
    """The settings as lines of a study, and as options of a command."""
    options = " ".join(f"--data '{setting.replace(': ', '=', 1)}'" for setting in settings)
    return f"{', '.join(f'`{setting}`' for setting in settings)} to the source, or {options} to the command"


def suggest_settings(columns: Sequence[str], sample: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """The setting `columns`, with the most likely column for each role, and `label_values` if the labels are numbers."""
    roles = _guess_roles(columns)
    line = f"columns: {{{', '.join(f'{role}: {_format_name(name)}' for role, name in roles.items())}}}"
    if roles.get("label", UNKNOWN) == UNKNOWN:
        return [line]
    values = {format_label_value(row[roles["label"]]) for row in sample if not is_empty(row.get(roles["label"]))}
    known = sorted(value for value in values if value.isdigit() and len(value) <= 2)
    if len(known) != 2:
        return [line]
    return [line, f'label_values: {{"{known[0]}": a, "{known[1]}": b}}']


def _guess_roles(columns: Sequence[str]) -> dict[str, str]:
    free = list(columns)

    def take(name: str | None) -> str:
        if name is not None:
            free.remove(name)
        return name if name is not None else UNKNOWN

    pair = _find_numbered_pair(free)
    if pair is not None:
        responses = {"response_a": take(pair[0]), "response_b": take(pair[1])}
    else:
        responses = {
            role: take(next((name for name in free if pattern.search(name)), None))
            for role, pattern in (("chosen", _CHOSEN_NAMES), ("rejected", _REJECTED_NAMES))
        }
    label = next((name for name in free if LOOKS_LIKE_LABEL.search(name)), None) if pair is not None else None
    labels = {} if label is None else {"label": take(label)}
    prompt = take(next((name for name in free if _PROMPT_NAMES.search(name)), None))
    return {"prompt": prompt, **responses, **labels}


def _find_numbered_pair(columns: Sequence[str]) -> tuple[str, str] | None:
    """Two columns whose names differ only in their last character: 1 and 2, or a and b."""
    by_stem: dict[str, dict[str, str]] = {}
    for name in columns:
        stem, last = name[:-1].lower(), name[-1:].lower()
        stem = stem[:-1] if stem.endswith((" ", "_", "-", ".")) else stem
        if stem:
            by_stem.setdefault(stem, {})[last] = name
    for names in by_stem.values():
        for first, second in (("a", "b"), ("1", "2")):
            if first in names and second in names:
                return names[first], names[second]
    return None


def _format_name(name: str) -> str:
    """The name as YAML; quoted if it is not a plain word."""
    shown = format_column(name)
    return shown if re.fullmatch(r"[A-Za-z_][\w.\-]*", shown) else f'"{shown}"'
