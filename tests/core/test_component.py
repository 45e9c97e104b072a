"""Settings are strict: what is wrong is said with its place, what was found, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field, ValidationError
from trimtab.annotators.longest import Longest

from trimtab.annotators.noisy_human import NoisyHuman
from trimtab.core.component import (
    Component,
    ComponentField,
    Settings,
    build_component,
    dump_component,
    find_component_class,
    get_kind,
    list_kinds,
    validate_settings,
)
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


def complaint(settings: Any) -> str:
    with pytest.raises(StudyError) as caught:
        validate_settings(Tree, settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nmae": "x"}, "nmae: there is no such setting; did you mean 'name'? (there are: arms, name, optimizer)"),
        (
            {"optimizer": {"stepps": 3}},
            "optimizer.stepps: there is no such setting; did you mean 'steps'? (there are: nesterov, rate, steps)",
        ),
        (
            {"optimizer": {"zzz": 3}},
            "optimizer.zzz: there is no such setting (there are: nesterov, rate, steps)",
        ),
    ],
)
def test_an_unknown_setting_names_its_place_and_the_nearest_right_name(settings: Any, said: str) -> None:
    assert complaint(settings) == said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": {"rate": "fast"}}, "optimizer.rate: expected a number, got 'fast'"),
        ({"optimizer": {"steps": 2.5}}, "optimizer.steps: expected a whole number, got 2.5"),
        ({"optimizer": {"nesterov": "perhaps"}}, "optimizer.nesterov: expected true or false, got 'perhaps'"),
        ({"optimizer": 3}, "optimizer: expected a mapping of settings, got 3"),
        ({"name": 3}, "name: expected text, got 3"),
    ],
)
def test_a_wrong_type_says_what_was_expected_and_what_was_found(settings: Any, said: str) -> None:
    assert complaint(settings) == said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": {"rate": 0}}, "optimizer.rate: must be greater than 0, got 0"),
        ({"optimizer": {"rate": 1.5}}, "optimizer.rate: must be less than or equal to 1, got 1.5"),
        ({"optimizer": {"rate": float("nan")}}, "optimizer.rate: must be a finite number, got nan"),
        ({"optimizer": {"steps": 0}}, "optimizer.steps: must be greater than or equal to 1, got 0"),
    ],
)
def test_a_value_out_of_range_names_the_range(settings: Any, said: str) -> None:
    assert complaint(settings) == said


@pytest.mark.parametrize(
    ("annotator", "said"),
    [
        ({"kind": "longest", "gap": -1}, "arms.x.annotator.gap: must be greater than or equal to 0, got -1"),
        (
            {"kind": "longest", "gop": 1},
            "arms.x.annotator.gop: there is no such setting; did you mean 'gap'? (there are: gap)",
        ),
        ({"kind": "flip"}, "arms.x.annotator: give either rate or like"),
    ],
)
def test_what_is_wrong_in_a_component_carries_the_whole_path(annotator: Any, said: str) -> None:
    assert complaint({"arms": {"x": {"annotator": annotator}}}) == said


@pytest.mark.parametrize(
    ("annotator", "said"),
    [
        ("longst", "arms.x.annotator.kind: no 'longst' among the annotators"),
        ({"gap": 1}, "arms.x.annotator: expected a mapping with `kind`, one of: "),
        (5, "arms.x.annotator: expected a mapping with `kind`, one of: "),
        ("nowhere_at_all:Thing", "arms.x.annotator.kind: cannot load 'nowhere_at_all:Thing'"),
        ("fractions:Nothing", "arms.x.annotator.kind: cannot load 'fractions:Nothing'"),
        ("fractions:Fraction", "arms.x.annotator.kind: 'fractions:Fraction' is not a trimtab Component"),
    ],
)
def test_a_kind_that_cannot_be_found_says_so_at_its_place(annotator: Any, said: str) -> None:
    assert complaint({"arms": {"x": {"annotator": annotator}}}).startswith(said)


def test_a_misspelled_kind_is_told_the_nearest_one() -> None:
    assert complaint({"arms": {"x": {"annotator": "longst"}}}).endswith("did you mean 'longest'?")


def test_everything_that_is_wrong_is_told_at_once_a_line_each() -> None:
    wrong = {"nmae": "x", "optimizer": {"rate": -1}, "arms": {"x": {"annotator": "longst"}, "y": {}}}
    places = [line.split(":")[0] for line in complaint(wrong).splitlines()]
    assert sorted(places) == ["arms.x.annotator.kind", "arms.y.annotator", "nmae", "optimizer.rate"]


def test_a_place_that_is_given_stands_before_the_path() -> None:
    with pytest.raises(StudyError, match=r"^study\.optimizer\.rate: "):
        validate_settings(Tree, {"optimizer": {"rate": -1}}, location="study")


def test_a_bare_word_is_a_kind_with_its_defaults() -> None:
    assert (
        build_component("annotators", "longest") == build_component("annotators", {"kind": "longest"}) == Longest(gap=0)
    )


def test_a_component_passes_as_it_is() -> None:
    made = Longest(gap=3)
    assert build_component("annotators", made) is made


def test_a_file_is_a_kind_of_its_own_name_and_a_hidden_file_is_none() -> None:
    assert find_component_class("annotators", "implicit_reward").__name__ == "ImplicitReward"
    assert {"flip", "human", "implicit_reward", "longest"} <= set(list_kinds("annotators"))
    assert not any(name.startswith("_") for name in list_kinds("data"))


def test_settings_are_never_changed() -> None:
    made = Longest()
    with pytest.raises(ValidationError):
        made.gap = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    "component", [Longest(), Longest(gap=3), NoisyHuman(arm="weak", seed=5), NoisyHuman(noise_rate=0.25)]
)
def test_a_component_survives_yaml_and_back(component: Component) -> None:
    assert build_component("annotators", yaml.safe_load(yaml.safe_dump(dump_component(component)))) == component


def test_only_settings_that_differ_from_their_defaults_are_dumped() -> None:
    assert dump_component(Longest()) == {"kind": "longest"}
    assert dump_component(Longest(gap=3)) == {"kind": "longest", "gap": 3}


def test_a_component_of_ones_own_is_found_again_by_its_module_and_name() -> None:
    assert get_kind(Mine()) == f"{__name__}:Mine"
    assert build_component("annotators", dump_component(Mine(weight=0.5))) == Mine(weight=0.5)


def test_a_tree_with_components_survives_yaml_and_back() -> None:
    tree = validate_settings(
        Tree, {"arms": {"x": {"annotator": {"kind": "longest", "gap": 2}, "optimizer": {"rate": 0.5}}}}
    )
    document = yaml.safe_load(yaml.safe_dump(tree.model_dump(mode="json", exclude_defaults=True)))
    assert document == {"arms": {"x": {"annotator": {"kind": "longest", "gap": 2}, "optimizer": {"rate": 0.5}}}}
    assert validate_settings(Tree, document) == tree
