"""Settings are strict: an error states the location, what was found and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field, ValidationError

from trimtab.annotators.length import Length
from trimtab.annotators.noisy_human import NoisyHuman
from trimtab.core.component import (
    Component,
    ComponentField,
    Settings,
    build_component,
    dump_component,
    find_component_class,
    get_kind,
    validate_settings,
)
from trimtab.core.component_loading import list_kinds
from trimtab.errors import StudyError


class Optimizer(Settings):
    rate: float = Field(0.1, gt=0, le=1)
    steps: int = Field(10, ge=1)
    nesterov: bool = False


class Arm(Settings):
    annotator: Annotated[Component, ComponentField("annotators")]
    optimizer: Optimizer | None = None


class Tree(Settings):
    name: str = "tree"
    optimizer: Optimizer = Field(default_factory=Optimizer)
    arms: Mapping[str, Arm] = Field(default_factory=dict)


class Mine(Component):
    weight: float = 1.0


def error_message(settings: Any) -> str:
    with pytest.raises(StudyError) as caught:
        validate_settings(Tree, settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nmae": "x"}, "nmae: unknown setting; did you mean 'name'? (expected one of: arms, name, optimizer)"),
        (
            {"optimizer": {"stepps": 3}},
            "optimizer.stepps: unknown setting; did you mean 'steps'? (expected one of: nesterov, rate, steps)",
        ),
        (
            {"optimizer": {"zzz": 3}},
            "optimizer.zzz: unknown setting (expected one of: nesterov, rate, steps)",
        ),
    ],
)
def test_an_unknown_setting_gives_its_location_and_the_most_similar_name(settings: Any, message: str) -> None:
    assert error_message(settings) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": {"rate": "fast"}}, "optimizer.rate: expected a number, got 'fast'"),
        ({"optimizer": {"steps": 2.5}}, "optimizer.steps: expected a whole number, got 2.5"),
        ({"optimizer": {"nesterov": "perhaps"}}, "optimizer.nesterov: expected true or false, got 'perhaps'"),
        ({"optimizer": 3}, "optimizer: expected a mapping of settings, got 3"),
        ({"name": 3}, "name: expected text, got 3"),
    ],
)
def test_a_wrong_type_gives_the_expected_type_and_the_value(settings: Any, message: str) -> None:
    assert error_message(settings) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": {"rate": 0}}, "optimizer.rate: must be greater than 0, got 0"),
        ({"optimizer": {"rate": 1.5}}, "optimizer.rate: must be less than or equal to 1, got 1.5"),
        ({"optimizer": {"rate": float("nan")}}, "optimizer.rate: must be a finite number, got nan"),
        ({"optimizer": {"steps": 0}}, "optimizer.steps: must be greater than or equal to 1, got 0"),
    ],
)
def test_a_value_out_of_range_gives_the_range(settings: Any, message: str) -> None:
    assert error_message(settings) == message


@pytest.mark.parametrize(
    ("annotator", "message"),
    [
        (
            {"kind": "length", "tie_threshold": -1},
            "arms.x.annotator.tie_threshold: must be greater than or equal to 0, got -1",
        ),
        (
            {"kind": "length", "tie_treshold": 1},
            "arms.x.annotator.tie_treshold: unknown setting; did you mean 'tie_threshold'? "
            "(expected one of: prefer, tie_threshold)",
        ),
        ({"kind": "noisy_human"}, "arms.x.annotator: set either noise_rate or arm"),
    ],
)
def test_an_error_in_a_component_gives_the_full_path(annotator: Any, message: str) -> None:
    assert error_message({"arms": {"x": {"annotator": annotator}}}) == message


@pytest.mark.parametrize(
    ("annotator", "message"),
    [
        ("lenght", "arms.x.annotator.kind: unknown kind 'lenght' in annotators"),
        ({"tie_threshold": 1}, "arms.x.annotator: expected a mapping with `kind`, one of: "),
        (5, "arms.x.annotator: expected a mapping with `kind`, one of: "),
        ("nowhere_at_all:Thing", "arms.x.annotator.kind: cannot load 'nowhere_at_all:Thing'"),
        ("fractions:Nothing", "arms.x.annotator.kind: cannot load 'fractions:Nothing'"),
        ("fractions:Fraction", "arms.x.annotator.kind: 'fractions:Fraction' is not a trimtab Component"),
    ],
)
def test_an_unknown_kind_is_reported_with_its_location(annotator: Any, message: str) -> None:
    assert error_message({"arms": {"x": {"annotator": annotator}}}).startswith(message)


def test_a_misspelled_kind_gets_a_suggestion() -> None:
    assert "did you mean 'length'?" in error_message({"arms": {"x": {"annotator": "lenght"}}})


def test_all_errors_are_reported_at_once_on_one_line_each() -> None:
    wrong = {"nmae": "x", "optimizer": {"rate": -1}, "arms": {"x": {"annotator": "lenght"}, "y": {}}}
    locations = [line.split(":")[0] for line in error_message(wrong).splitlines()]
    assert sorted(locations) == ["arms.x.annotator.kind", "arms.y.annotator", "nmae", "optimizer.rate"]


def test_a_location_precedes_the_path() -> None:
    with pytest.raises(StudyError, match=r"^study\.optimizer\.rate: "):
        validate_settings(Tree, {"optimizer": {"rate": -1}}, location="study")


def test_a_bare_word_is_a_kind_with_default_settings() -> None:
    assert build_component("annotators", "length") == build_component("annotators", {"kind": "length"}) == Length()


def test_a_component_is_returned_unchanged() -> None:
    component = Length(tie_threshold=3)
    assert build_component("annotators", component) is component


def test_a_module_is_a_kind_and_a_private_module_is_not() -> None:
    assert find_component_class("annotators", "implicit_reward").__name__ == "ImplicitReward"
    assert {"noisy_human", "human", "implicit_reward", "length"} <= set(list_kinds("annotators"))
    assert not any(name.startswith("_") for name in list_kinds("sources"))


def test_settings_are_immutable() -> None:
    component = Length()
    with pytest.raises(ValidationError):
        component.tie_threshold = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    "component", [Length(), Length(tie_threshold=3), NoisyHuman(arm="weak", seed=5), NoisyHuman(noise_rate=0.25)]
)
def test_a_component_survives_a_round_trip_through_yaml(component: Component) -> None:
    assert build_component("annotators", yaml.safe_load(yaml.safe_dump(dump_component(component)))) == component


def test_only_settings_that_differ_from_their_defaults_are_dumped() -> None:
    assert dump_component(Length()) == {"kind": "length"}
    assert dump_component(Length(tie_threshold=3)) == {"kind": "length", "tie_threshold": 3}


def test_a_custom_component_is_found_by_its_module_and_class_name() -> None:
    assert get_kind(Mine()) == f"{__name__}:Mine"
    assert build_component("annotators", dump_component(Mine(weight=0.5))) == Mine(weight=0.5)


def test_a_tree_with_components_survives_a_round_trip_through_yaml() -> None:
    settings = {"arms": {"x": {"annotator": {"kind": "length", "tie_threshold": 2}, "optimizer": {"rate": 0.5}}}}
    tree = validate_settings(Tree, settings)
    document = yaml.safe_load(yaml.safe_dump(tree.model_dump(mode="json", exclude_defaults=True)))
    assert document == settings
    assert validate_settings(Tree, document) == tree
