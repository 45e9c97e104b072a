"""Booleans are not numbers, and seeds and sizes have bounds, whatever the class of a setting declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trimtab.core.component import Settings, validate_settings
from trimtab.errors import StudyError


class Inner(Settings):
    seed: int | None = 0
    rates: tuple[float, ...] = ()


class Outer(Settings):
    steps: int = 1
    enabled: bool = False
    mixed: int | bool = 1
    label: str = ""
    free: Mapping[str, Any] = {}
    limits: Mapping[str, int] = {}
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": True}, "steps: expected a whole number, got true"),
        ({"enabled": 1}, "enabled: expected true or false, got 1"),
        ({"enabled": "yes"}, "enabled: expected true or false, got 'yes'"),
        ({"limits": {"a": False}}, "limits: expected a whole number, got false"),
        ({"inner": {"rates": [0.5, True]}}, "inner.rates: expected a number, got true"),
        ({"inner": {"seed": -1}}, "inner.seed: must be a whole number from 0 to 4294967295, got -1"),
        ({"inner": {"seed": 2**32}}, "inner.seed: must be a whole number from 0 to 4294967295, got 4294967296"),
        ({"inner": {"seed": True}}, "inner.seed: expected a whole number, got true"),
        ({"steps": 10**10}, "steps: must be between -2.14748e+09 and 2.14748e+09, got 10000000000"),
        ({"inner": {"rates": [1e300]}}, "inner.rates: must be between -1e+12 and 1e+12, got 1e+300"),
    ],
)
def test_a_value_of_the_wrong_type_or_size_is_rejected(settings: Any, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        validate_settings(Outer, settings)
    assert str(caught.value) == message


def test_valid_values_are_unchanged() -> None:
    inner = {"seed": None, "rates": ["1e-4", 1]}
    free = {"a": True, "b": 10**3}
    settings = validate_settings(Outer, {"steps": "3", "enabled": True, "mixed": True, "free": free, "inner": inner})
    assert (settings.steps, settings.enabled, settings.mixed, settings.free["a"]) == (3, True, True, True)
    assert settings.inner == Inner(seed=None, rates=(1e-4, 1.0))
