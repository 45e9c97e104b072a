"""Checks of booleans and numbers that hold for every setting, whatever its class declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType
from typing import Any, get_args

# The seeds that every random number generator of PyTorch, NumPy and Transformers accepts.
MAX_SEED = 2**32 - 1
MAX_INT = 2**31 - 1
MAX_FLOAT = 1e12


def require_matching_scalars(annotation: Any, value: Any) -> Any:
    """The value. Raises `ValueError` for a boolean if a number is expected, and for a number if a boolean is expected."""
    scalars = _list_scalar_types(annotation)
    if scalars is None:
        return value
    for item in _iter_scalars(value):
        if isinstance(item, bool) and bool not in scalars and scalars & {int, float}:
            expected = "a number" if float in scalars else "a whole number"
            raise ValueError(f"expected {expected}, got {str(item).lower()}")
        if scalars == {bool} and item is not None and not isinstance(item, bool):
            raise ValueError(f"expected true or false, got {_shorten(item)}")
    return value


def require_bounded_numbers(name: str, value: Any) -> Any:
    """The value. Raises `ValueError` for a number that cannot be a seed, a size or a rate."""
    for item in _iter_scalars(value):
        if isinstance(item, bool) or not isinstance(item, int | float):
            continue
        if isinstance(item, int) and (name == "seed" or name.endswith("_seed")):
            if not 0 <= item <= MAX_SEED:
                raise ValueError(f"must be a whole number from 0 to {MAX_SEED}, got {_shorten(item)}")
        elif abs(item) > (limit := MAX_INT if isinstance(item, int) else MAX_FLOAT):
            raise ValueError(f"must be between -{limit:g} and {limit:g}, got {_shorten(item)}")
    return value


@cache
def _list_scalar_types(annotation: Any) -> frozenset[type] | None:
    """The scalar types in an annotation; None if it allows settings, components or any value."""
    if annotation in (bool, int, float, str):
        return frozenset({annotation})
    if annotation in (NoneType, Ellipsis):
        return frozenset()
    arguments = get_args(annotation)
    if not arguments:
        return None
    found: set[type] = set()
    for argument in arguments:
        if isinstance(argument, str | int | float):
            found.add(type(argument))
            continue
        inner = _list_scalar_types(argument)
        if inner is None:
            return None
        found |= inner
    return frozenset(found)


def _iter_scalars(value: Any, depth: int = 0) -> Iterator[Any]:
    """All scalars in a nested value of lists and mappings."""
    if depth > 4:
        return
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _iter_scalars(item, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _iter_scalars(item, depth + 1)
    else:
        yield value


def _shorten(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:59]}…"
