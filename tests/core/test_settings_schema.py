"""Settings are told to people as their types and bounds have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PlainValidator

from trimtab.core.component import ENGINE_FIELD, Component, ComponentField, Settings
from trimtab.core.settings_schema import SettingInfo, describe_settings

Odd = Annotated[float | Literal["each"], PlainValidator(lambda value: value)]


class Inner(Settings):
    size: int = 1


class Mine(Settings):
    needed: str
    share: float = Field(0.5, gt=0, le=1, description="of the pairs")
    count: int | None = Field(None, ge=2)
    mode: Literal["fast", "slow"] = "fast"
    switch: bool | None = None
    odd: Odd = 0.0
    layers: tuple[int, ...] = ()
    names: Mapping[str, Annotated[Component, ComponentField("data")]] = Field(default_factory=dict)
    asked: Annotated[Component, ENGINE_FIELD] | None = None
    inner: Inner = Field(default_factory=lambda: Inner(size=3))
    extra: dict[str, Any] = Field(default_factory=dict)
    other: bytes = b""
    with_: str = Field("a", alias="with")


TOLD = {each.name: each for each in describe_settings(Mine, exclude=("other",))}


@pytest.mark.parametrize(
    ("name", "default", "accepts"),
    [
        ("needed", "…", "text"),
        ("share", "0.5", "number > 0 and <= 1"),
        ("count", "null", "whole number >= 2 or null"),
        ("mode", "fast", "fast or slow"),
        ("switch", "null", "true or false or null"),
        ("odd", "0.0", "number or each"),
        ("layers", "[]", "[whole number, …]"),
        ("names", "{}", "{NAME: source, …}"),
        ("asked", "null", "engine or null"),
        ("inner", '{"size": 3}', "settings"),
        ("extra", "{}", "{NAME: any value, …}"),
        ("with", "a", "text"),
    ],
)
def test_a_setting_has_its_default_and_what_it_may_be(name: str, default: str, accepts: str) -> None:
    assert (TOLD[name].default, TOLD[name].accepted_values) == (default, accepts)


def test_every_setting_is_told_but_those_left_out_and_with_its_meaning() -> None:
    assert TOLD["share"] == SettingInfo("share", "0.5", "number > 0 and <= 1", "of the pairs")
    assert len(TOLD) == len(Mine.model_fields) - 1
