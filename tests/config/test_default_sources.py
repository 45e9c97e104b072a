"""Every default in the settings tables has a source: a paper, its released code, or ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from trimtab.config.training import RewardModelSettings
from trimtab.core.settings_schema import REQUIRED, describe_settings

TOOL = Path(__file__).parents[2] / "tools" / "settings_tables.py"
SOURCES = ("paper", "released code", "our default")
# Blocks, lists and texts that are empty hold nothing that could have a source.
EMPTY = (REQUIRED, "{}", "[]", '""')


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_tables", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLASSES: list[type[BaseModel]] = [*load_tool().settings_classes().values(), RewardModelSettings]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_description_starts_with_the_source_of_its_default(cls: type[BaseModel]) -> None:
    unlabeled = {
        setting.name: setting.description
        for setting in describe_settings(cls)
        if setting.default not in EMPTY and not setting.description.startswith(SOURCES)
    }
    assert unlabeled == {}
