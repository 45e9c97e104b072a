"""The data of a study: one source, a training and a test source, or one source for each split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from trimtab.core.component import (
    Component,
    Settings,
    SourceField,
    build_component,
    dump_component,
    validate_settings,
)


class TrainTestSources(Settings):
    """The two parts of a dataset. `split` divides the training pairs by prompt into labeled and unlabeled pairs.

    Test pairs whose prompt occurs in the training source are excluded and counted. The test pairs do not depend on a seed.
    """

    train: SourceField = Field(description="pairs with human labels; divided by `split`")
    test: SourceField = Field(description="pairs used for every evaluation")


class PredefinedSplits(Settings):
    """The three splits, each from its own source. They are used as they are, and must not share prompts."""

    labeled: SourceField = Field(description="pairs with human labels; the weak model learns from them")
    unlabeled: SourceField = Field(description="pairs to label; human labels among them are used for diagnostics")
    test: SourceField = Field(description="pairs used for every evaluation")


StudyData = SourceField | TrainTestSources | PredefinedSplits


def parse_data(value: Any) -> StudyData:
    """Parses one source, or a mapping with several. Raises `StudyError` if it is neither."""
    if isinstance(value, TrainTestSources | PredefinedSplits):
        return value
    if isinstance(value, Mapping) and "train" in value:
        return validate_settings(TrainTestSources, value)
    if isinstance(value, Mapping) and set(value) & set(PredefinedSplits.model_fields):
        return validate_settings(PredefinedSplits, value)
    return build_component("sources", value)


def dump_data(data: StudyData) -> dict[str, Any]:
    """The mapping that `parse_data` accepts."""
    return dump_component(data) if isinstance(data, Component) else data.model_dump(mode="json")


def list_sources(data: StudyData) -> dict[str, Component]:
    """The sources by name: `all` for a single one, otherwise the names of the settings."""
    if isinstance(data, Component):
        return {"all": data}
    return {name: getattr(data, name) for name in type(data).model_fields}
