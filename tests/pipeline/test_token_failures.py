"""Pairs from which a model cannot learn are left out of the splits and counted: those whose responses have the same tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers

from trimtab.core.runtime import Runtime
from trimtab.data.split import SplitSettings
from trimtab.errors import DataError
from trimtab.models.config import Model
from trimtab.pipeline.stage_scheduler import execute_stages
from trimtab.pipeline.stages.split import split_stage
from trimtab.sources.file import File
from trimtab.storage.artifacts import Artifact, Store

# A tokenizer that composes accents and ignores case.
NORMALIZER = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
SAME = [("caf\u00e9", "cafe\u0301"), ("Blue.", "BLUE.")]
DIFFERENT = [(f"Blue {number}.", "Seven.") for number in range(6)]


@pytest.fixture
def models(tiny_model: Path, tmp_path: Path) -> dict[str, Model]:
    """A model with the tiny model's tokenizer, and one whose tokenizer normalizes texts."""
    folder = shutil.copytree(tiny_model, tmp_path / "normalizing")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = NORMALIZER
    tokenizer.save(str(folder / "tokenizer.json"))
    return {"weak": Model(base=str(tiny_model)), "student": Model(base=str(folder))}


def split(responses: list[tuple[str, str]], models: dict[str, Model], folder: Path, runtime: Runtime) -> dict[str, Any]:
    """The facts of the split of one pair per prompt."""
    rows = [{"prompt": f"Say {index}.", "chosen": a, "rejected": b} for index, (a, b) in enumerate(responses)]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = split_stage({"all": File(path=str(path))}, SplitSettings(labeled=0.5, test=0.2), 400, models)
    artifacts: dict[str, Artifact] = {}
    execute_stages([stage], Store(folder / "run"), runtime, artifacts, lambda *_: None)
    facts: dict[str, Any] = artifacts[stage.fingerprint].record["facts"]
    return facts


def test_pairs_whose_responses_have_the_same_tokens_in_any_model_are_left_out(
    models: dict[str, Model], tmp_path: Path, runtime: Runtime
) -> None:
    facts = split([*SAME, *DIFFERENT], models, tmp_path, runtime)
    assert (sum(facts["pairs"].values()), facts["failures"]) == (len(DIFFERENT), len(SAME))
    assert facts["reasons"] == {"both responses have the same tokens in the student model": len(SAME)}


def test_a_split_of_only_such_pairs_is_an_error_with_the_reason(
    models: dict[str, Model], tmp_path: Path, runtime: Runtime
) -> None:
    with pytest.raises(
        DataError, match="none of the 2 pairs is usable: both responses have the same tokens in the student"
    ):
        split(SAME, models, tmp_path, runtime)
