"""Settings are described by their types, bounds and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PlainValidator

from trimtab.core.component import ENGINE_FIELD, Component, ComponentField, Settings
from trimtab.core.settings_schema import SettingInfo, describe_settings

NumberOrWord = Annotated[float | Literal["each"], PlainValidator(lambda value: value)]


class Inner(Settings):
    size: int = 1


class Mine(Settings):
    path: str
    fraction: float = Field(0.5, gt=0, le=1, description="of the pairs")
    count: int | None = Field(None, ge=2)
    mode: Literal["fast", "slow"] = "fast"
    switch: bool | None = None
    smoothing: NumberOrWord = 0.0
    layers: tuple[int, ...] = ()
    names: Mapping[str, Annotated[Component, ComponentField("sources")]] = Field(default_factory=dict)
    engine: Annotated[Component, ENGINE_FIELD] | None = None
    inner: Inner = Field(default_factory=lambda: Inner(size=3))
    extra: dict[str, Any] = Field(default_factory=dict)
    other: bytes = b""
    with_: str = Field("a", alias="with")


SETTINGS = {setting.name: setting for setting in describe_settings(Mine, exclude=("other",))}


@pytest.mark.parametrize(
    ("name", "default", "accepted_values"),
    [
        ("path", "…", "text"),
        ("fraction", "0.5", "number > 0 and <= 1"),
        ("count", "null", "whole number >= 2 or null"),
        ("mode", "fast", "fast or slow"),
        ("switch", "null", "true or false or null"),
        ("smoothing", "0.0", "number or each"),
        ("layers", "[]", "[whole number, …]"),
        ("names", "{}", "{NAME: source, …}"),
        ("engine", "null", "engine or null"),
        ("inner", '{"size": 3}', "settings"),
        ("extra", "{}", "{NAME: any value, …}"),
        ("with", "a", "text"),
    ],
)
def test_a_setting_has_a_default_and_accepted_values(name: str, default: str, accepted_values: str) -> None:
    assert (SETTINGS[name].default, SETTINGS[name].accepted_values) == (default, accepted_values)


def test_every_setting_is_described_except_those_excluded() -> None:
    assert SETTINGS["fraction"] == SettingInfo("fraction", "0.5", "number > 0 and <= 1", "of the pairs")
    assert len(SETTINGS) == len(Mine.model_fields) - 1
