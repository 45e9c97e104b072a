"""Tables of log-probabilities in a study: what earlier runs read is not read again, and what cannot be read is refused."""

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


def test_a_pair_longer_than_the_model_reads_is_refused_with_its_name(
    tiny_model: Path, runtime: Runtime, tmp_path: Path
) -> None:
    pair = Pair.from_responses(build_user_prompt("much " * 1700), "yes", "no")
    model = ModelRef(Model(base=str(tiny_model))).lazy(runtime.notify, "cpu")
    wanted = (
        rf"logprobs.x: pair {pair.id} has 85\d\d tokens, and the model reads texts of at most 8192; lower the study's"
    )
    with pytest.raises(DataError, match=wanted):
        _write_table(Draft(folder=tmp_path), "logprobs.x", model, [pair], runtime)


@pytest.mark.slow
def test_a_run_with_another_beta_reads_no_reference_again(
    tiny_study: str,
    run_whole: Callable[[str], tuple[Study, Path]],
    finished_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRIMTAB_LOGPROB_CACHE", str(tmp_path))
    changed = yaml.safe_load(tiny_study)
    changed["training"]["dpo"]["beta"] = 0.3
    tables, folders = {}, {}
    for name, text in (("first", tiny_study), ("second", yaml.safe_dump(changed))):
        folder = folders[name] = run_whole(text)[1]
        tables[name] = {
            path.parent.name: json.loads(path.read_text())["facts"]
            for path in folder.glob("stages/logprobs.*/record.json")
        }
    assert all(facts["recalled"] == 0 for facts in tables["first"].values())
    same = tables["first"].keys() & tables["second"].keys()  # of models before DPO: those after it are others
    assert same
    for name, facts in tables["second"].items():
        assert facts["recalled"] == (facts["pairs"] if name in same else 0), name
        assert facts["path"] == "packed pairs"
    for name in tables["first"]:
        found, without = (folder / "stages" / name / "logprobs.parquet" for folder in (folders["first"], finished_run))
        assert found.read_bytes() == without.read_bytes(), name
