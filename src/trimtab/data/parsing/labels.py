"""Reads which of a row's two responses is preferred. No error repeats a row's text."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any, Literal

from trimtab.data.parsing.column_settings import ColumnSettings, format_label_value
from trimtab.data.parsing.rows import Cells, format_column, is_empty
from trimtab.data.parsing.text_values import UnusableRowError, describe_value

Preferred = Literal["first", "second"]

LABEL_COLUMNS = ("label", "preferred", "preference", "winner")
# One column per outcome, as in LMArena's exports.
ONE_HOT_COLUMNS = ("winner_model_a", "winner_model_b")
TIE_COLUMN = "winner_tie"
# From -3 (the first response is much better) to 3, as in HelpSteer2 and HelpSteer3.
STRENGTH_COLUMNS = ("preference_strength", "overall_preference")
# 1 if the first response is preferred, 0 if the second is, as in SHP.
FIRST_IS_ONE_COLUMN = "labels"
LOOKS_LIKE_LABEL = re.compile(
    r"^(winner|chosen_|better|best|preferred|choice)|preference|score|rating|vote"
    r"|(^|[ _.-])(labels?|choice|better|best|preferred|chosen|winner|verdict|rank|ranking)$",
    re.IGNORECASE,
)
_CHOSEN_SCORE = re.compile(r"^(score|rating|reward)s?[_.-]?chosen$|^chosen[_.-]?(score|rating|reward)s?$")
TIES = ("tie", "tie (bothbad)", "both", "both_bad", "neither", "draw")


def find_label_columns(cells: Cells, first: str, settings: ColumnSettings) -> list[str]:
    """The columns of a row that could hold its label, including empty ones."""
    if "label" in settings.names:
        name = settings.names["label"]
        return [] if name is None else [name]
    names = [name for name in LABEL_COLUMNS if name in cells]
    if set(ONE_HOT_COLUMNS) <= cells.keys():
        names.append(ONE_HOT_COLUMNS[0])
    if first in ("response_1", "response1"):
        names.extend(name for name in STRENGTH_COLUMNS if name in cells)
    if first == "human_ref_A" and FIRST_IS_ONE_COLUMN in cells:
        names.append(FIRST_IS_ONE_COLUMN)
    return names


def find_contradicting_scores(cells: Cells) -> list[tuple[str, str]]:
    """Pairs of columns, such as `score_chosen` and `score_rejected`, in which the chosen response has no higher number."""
    names = [name for name in cells if "chosen" in name and _CHOSEN_SCORE.search(name)]
    pairs = [(name, name.replace("chosen", "rejected")) for name in names]
    return [(chosen, rejected) for chosen, rejected in pairs if _is_at_most(cells[chosen], cells.get(rejected))]


def _is_at_most(value: Any, other: Any) -> bool:
    try:
        return parse_number(value, "") <= parse_number(other, "")
    except UnusableRowError:
        return False


def parse_row_label(
    cells: Cells, first: str, second: str, used: Collection[str], settings: ColumnSettings
) -> Preferred | None:
    """The preferred response, or None if the row is unlabeled.

    Raises `UnusableRowError` for a tie, an ambiguous label, and a row that is unlabeled although a column that is not read
    looks like a label.
    """
    columns = find_label_columns(cells, first, settings)
    filled = [name for name in columns if not is_empty(cells.get(name))]
    if len(filled) > 1:
        raise UnusableRowError(
            f"{' and '.join(map(repr, filled))} could both be the label column; keep one of them, or set "
            "`columns: {label: COLUMN}`"
        )
    if filled:
        return _parse_label(cells, filled[0], first, second, settings)
    if not columns and "label" not in settings.names:
        _refuse_unread_label(cells, used)
    if "label" in settings.names and columns and columns[0] not in cells:
        raise UnusableRowError(f"column {columns[0]!r} is missing from this row")
    return None


def _refuse_unread_label(cells: Cells, used: Collection[str]) -> None:
    for name, value in cells.items():
        if name not in used and LOOKS_LIKE_LABEL.search(name) and not is_empty(value):
            raise UnusableRowError(
                f"{format_column(name)!r} looks like a label column; set `columns: {{label: {format_column(name)}}}` "
                "and `label_values` to read it, or `columns: {label: null}` to read the pair as unlabeled"
            )


def _parse_label(cells: Cells, column: str, first: str, second: str, settings: ColumnSettings) -> Preferred | None:
    value = cells[column]
    if column == ONE_HOT_COLUMNS[0] and "label" not in settings.names:
        return _parse_one_hot(cells)
    if settings.label_values:
        return _parse_own_value(value, column, settings)
    if column in STRENGTH_COLUMNS:
        return _parse_strength(value, column)
    if column == FIRST_IS_ONE_COLUMN and first == "human_ref_A":
        return _parse_first_is_one(value, column)
    return _parse_name(value, column, first, second)


def _parse_own_value(value: Any, column: str, settings: ColumnSettings) -> Preferred | None:
    """The meaning of a label in `label_values`. A list holds the labels of several annotators, who must agree."""
    texts = {format_label_value(item) for item in (value if isinstance(value, list) else [value])}
    if len(texts) > 1:
        raise UnusableRowError(f"{column!r} has {len(texts)} different labels")
    text = texts.pop()
    if text not in settings.label_values:
        known = ", ".join(map(repr, settings.label_values))
        raise UnusableRowError(f"{column!r} is {describe_value(value)}, which is not in `label_values`: {known}")
    meaning = settings.label_values[text]
    return None if meaning is None else "first" if meaning == "a" else "second"


def _parse_name(value: Any, column: str, first: str, second: str) -> Preferred:
    """A label that is the name of a response column, or `a` or `b`."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    meanings: dict[str, Preferred] = {first: "first", second: "second"}
    if not first[-1:].isdigit():
        meanings |= {"a": "first", "b": "second", "model_a": "first", "model_b": "second"}
    name = value.strip().casefold() if isinstance(value, str) else ""
    preferred = {key.casefold(): meaning for key, meaning in meanings.items()}.get(name)
    if preferred is not None:
        return preferred
    if name in TIES:
        raise _build_tie_error(column)
    raise UnusableRowError(
        f"{column!r} is {describe_value(value)}; expected {', '.join(map(repr, meanings))}, or empty if unlabeled; set "
        "`label_values` for other labels, such as `label_values: {1: a, 2: b}`"
    )


def _parse_one_hot(cells: Cells) -> Preferred:
    values = [cells.get(name) for name in (*ONE_HOT_COLUMNS, TIE_COLUMN)]
    won = [format_label_value(value) in ("1", "true") for value in values]
    if sum(won) != 1:
        raise UnusableRowError(f"exactly one of {', '.join(map(repr, (*ONE_HOT_COLUMNS, TIE_COLUMN)))} must be 1")
    if won[2]:
        raise _build_tie_error(TIE_COLUMN)
    return "first" if won[0] else "second"


def _parse_strength(value: Any, column: str) -> Preferred:
    strength = parse_number(value, column)
    if strength == 0:
        raise _build_tie_error(column)
    return "first" if strength < 0 else "second"


def _parse_first_is_one(value: Any, column: str) -> Preferred:
    number = parse_number(value, column)
    if number not in (0, 1):
        raise UnusableRowError(
            f"{column!r} is {describe_value(value)}; expected 1 (the first response) or 0 (the second)"
        )
    return "first" if number == 1 else "second"


def _build_tie_error(column: str) -> UnusableRowError:
    return UnusableRowError(f"{column!r} is a tie: no response is preferred")


def parse_number(value: Any, column: str) -> float:
    """A finite number, also from text, as in CSV files."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UnusableRowError(f"{column!r} is {describe_value(value)}; expected a number")
    return number
