"""Results of engines as JSON, and the check that they can be written, read again and used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from trimtab.types import ChoiceScores, Cost, Generation

EngineResult = TypeVar("EngineResult", Generation, ChoiceScores)

# Larger counts do not fit into the tables of a run.
MAX_COUNT = 2**53


def parse_cached_generation(entry: dict[str, Any]) -> Generation:
    """The generation of a cache entry. Raises `ValueError` or `TypeError` if it is not valid."""
    return _require_readable(Generation(**{**entry, "cost": Cost(**entry["cost"])}))


def parse_cached_scores(entry: dict[str, Any]) -> ChoiceScores:
    """The scores of a cache entry. Raises `ValueError` or `TypeError` if they are not valid."""
    lists = {name: tuple(entry[name]) for name in ("probabilities", "logprobs", "tokens") if entry[name] is not None}
    return _require_readable(ChoiceScores(**{**entry, **lists, "cost": Cost(**entry["cost"])}))


def reject_unreadable(result: EngineResult) -> EngineResult:
    """The result, or a failed one in place of a result that could not be used or stored."""
    if result.status != "ok":
        return result
    problem = _find_problem(result)
    if not problem:
        return result
    if isinstance(result, Generation):
        return Generation(text="", status="failed", note=problem)
    return ChoiceScores(probabilities=(), status="failed", note=problem)


def to_entry(result: Generation | ChoiceScores) -> dict[str, Any]:
    """The JSON of a result."""
    return asdict(result)


def _require_readable(result: EngineResult) -> EngineResult:
    problem = _find_problem(result)
    if problem or result.status != "ok":
        raise ValueError(problem or f"status {result.status!r}")
    return result


def _find_problem(result: Generation | ChoiceScores) -> str:
    """What makes the result unusable; empty if nothing does."""
    texts = [result.note, result.text, result.finish_reason] if isinstance(result, Generation) else [result.note]
    if not all(isinstance(text, str) for text in texts):
        return "the result has something other than text in place of its text"
    if any(not _is_encodable(text) for text in texts):
        return "the text contains half of a character (a lone surrogate)"
    counts = [getattr(result.cost, each.name) for each in fields(Cost)]
    if not all(_is_number(count) and 0 <= count <= MAX_COUNT for count in counts):
        return "the token counts or seconds are impossible"
    return "" if isinstance(result, Generation) else _find_score_problem(result)


def _find_score_problem(scores: ChoiceScores) -> str:
    if not scores.probabilities or not all(_is_number(p) and 0 <= p <= 1 + 1e-6 for p in scores.probabilities):
        return f"the probabilities are impossible: {_shorten(scores.probabilities)}"
    if scores.logprobs is not None:
        valid = all(_is_number(value) and value <= 1 and not math.isnan(value) for value in scores.logprobs)
        if not valid or len(scores.logprobs) != len(scores.probabilities):
            return f"the log-probabilities are impossible: {_shorten(scores.logprobs)}"
    return ""


def _shorten(values: Sequence[object]) -> str:
    return str(list(values[:10]))[:200]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
