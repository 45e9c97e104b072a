"""Answers that came one by one, as a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def collect_in_order(came: Iterable[Mapping[int, T]]) -> list[T]:
    """The answers to all questions, by the places of these, which must all be there."""
    found = {place: answer for each in came for place, answer in each.items()}
    return [found[place] for place in range(len(found))]
