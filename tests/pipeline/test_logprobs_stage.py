"""Log-probability tables in a study: cached values are reused, and pairs that are too long are an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.models.config import Model
from trimtab.models.references import ModelRef
from trimtab.pipeline.stages.logprobs import _write_table
from trimtab.storage.artifacts import Draft
from trimtab.types import Pair, build_user_prompt


def test_a_pair_that_is_too_long_for_the_model_is_an_error_with_its_id(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    pair = Pair.from_responses(build_user_prompt("much " * 1700), "yes", "no")
    model = ModelRef(Model(base=str(tiny_model))).lazy(runtime.notify, "cpu")
    message = rf"logprobs.x: pair {pair.id} has 85\d\d tokens, more than the model's maximum of 8192; lower the study's"
    with pytest.raises(DataError, match=message):
        _write_table(Draft(folder=tmp_path), "logprobs.x", model, [pair], runtime)


@pytest.mark.slow
def test_a_run_with_another_beta_reuses_cached_reference_logprobs(
    tiny_study: str,
    run_whole: Callable[[str], tuple[Study, Path]],
    finished_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", str(tmp_path))
    document = yaml.safe_load(tiny_study)
    document["training"]["dpo"]["beta"] = 0.3
    tables, folders = {}, {}
    for name, text in (("first", tiny_study), ("second", yaml.safe_dump(document))):
        folder = folders[name] = run_whole(text)[1]
        tables[name] = {
            path.parent.name: json.loads(path.read_text())["facts"]
            for path in folder.glob("stages/logprobs.*/record.json")
        }
    assert all(facts["from_cache"] == 0 for facts in tables["first"].values())
    shared = tables["first"].keys() & tables["second"].keys()  # of models before DPO
    assert shared
    for name, facts in tables["second"].items():
        assert facts["from_cache"] == (facts["pairs"] if name in shared else 0), name
        assert facts["batch_layouts"] == "packed pairs"
    for name in tables["first"]:
        cached, uncached = (
            folder / "stages" / name / "logprobs.parquet" for folder in (folders["first"], finished_run)
        )
        assert cached.read_bytes() == uncached.read_bytes(), name
