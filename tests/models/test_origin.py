"""Converted weights are compared to the identity and the content hashes that were recorded when they were converted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trimtab.errors import ModelError
from trimtab.models.sources.origin import ORIGIN_FILE, require_intact_weights, write_origin

IDENTITY = {"sha256": "ab", "converter": 1}


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    write_origin(tmp_path, {**IDENTITY, "license": "MIT"})
    return tmp_path


def test_intact_weights_are_accepted_without_a_notice(converted: Path, notices: list[str]) -> None:
    require_intact_weights(converted, IDENTITY, notices.append)
    assert notices == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("contents", [b"wEights", b"[]", b"", b"longer than before"])
def test_changed_files_are_an_error(name: str, contents: bytes, converted: Path, notices: list[str]) -> None:
    (converted / name).write_bytes(contents)
    with pytest.raises(ModelError, match=rf"{name} is damaged .*; delete the folder .* converts the weights again"):
        require_intact_weights(converted, IDENTITY, notices.append)


def test_weights_of_another_source_are_an_error(converted: Path, notices: list[str]) -> None:
    with pytest.raises(ModelError, match=r"origin.json: sha256 is 'ab', expected 'cd'; delete the folder"):
        require_intact_weights(converted, {"sha256": "cd"}, notices.append)


@pytest.mark.parametrize("text", ["", "[]", '{"sha256": "ab", "converter": 1, "files": {"config.json": 3}}'])
def test_a_damaged_record_is_an_error(text: str, converted: Path, notices: list[str]) -> None:
    (converted / ORIGIN_FILE).write_text(text)
    with pytest.raises(ModelError, match=r"origin\.json"):
        require_intact_weights(converted, IDENTITY, notices.append)


def test_hashes_of_weights_that_an_earlier_version_converted_are_recorded_once(
    converted: Path, notices: list[str]
) -> None:
    (converted / ORIGIN_FILE).write_text(json.dumps(IDENTITY))
    for _ in range(2):
        require_intact_weights(converted, IDENTITY, notices.append)
    assert notices == [f"recorded the content hashes of {converted}, which an earlier version converted"]
    (converted / "model.safetensors").write_bytes(b"wEights")
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        require_intact_weights(converted, IDENTITY, notices.append)
