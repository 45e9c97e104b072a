"""Each arm can have its own loss, and a stage depends only on the inputs its loss uses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from trimtab.config.study import Study
from trimtab.core.runtime import Runtime
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.plan import build_plan

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "losses.md"
ARMS: dict[str, dict[str, Any]] = {
    "weighted": {"label_mode": "weighted"},
    "robust": {"loss_type": "robust", "label_smoothing": "per_pair"},
    "simple": {"loss_type": "simpo", "beta": 2.0, "label_mode": "soft"},
}


def records(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """The records of all stages of a kind, by stage name."""
    all_records = [json.loads(path.read_text()) for path in (folder / "stages").glob("*/record.json")]
    return {str(record["name"]): record for record in all_records if record["stage"] == kind}


def test_arms_train_on_the_same_labels_with_their_own_losses(
    finished_run: Path, tiny_study: str, runtime: Runtime, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    study = yaml.safe_load(tiny_study)
    common = {**study["training"]["dpo"], "num_train_epochs": 2}
    arms = {name: {"annotator": "implicit_reward", "dpo": {**common, **dpo}} for name, dpo in ARMS.items()}
    run_study(Study.parse(yaml.safe_dump({**study, "arms": arms})), folder, runtime, lambda index, total, name: None)
    dpo_records = records(folder, "dpo")
    for name, dpo in ARMS.items():
        record = dpo_records[f"dpo.{name}"]
        assert dpo.items() <= record["settings"]["recipe"].items()
        assert ("reference" in record["inputs"]) == (name != "simple")
    # first losses: weak labels close to 1/2 have little weight, and SimPO has a margin without any training
    assert 0 <= dpo_records["dpo.weighted"]["facts"]["first"]["loss"] < 0.6931
    assert dpo_records["dpo.simple"]["facts"]["first"]["margin"] != 0


def test_the_examples_of_the_docs_page_are_valid(tiny_study: str) -> None:
    study = yaml.safe_load(tiny_study)
    dpo, preference = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
    plan = build_plan(Study.parse(yaml.safe_dump({**study, **dpo})))
    trained = {arm.name: arm.training for arm in plan.rows if arm.training}
    for name, arm in dpo["arms"].items():
        assert arm["dpo"].items() <= trained[name].settings["recipe"].items()
    parsed = Study.parse(yaml.safe_dump({**study, **preference, "scorers": {}}))
    assert parsed.training.preference_model.aux_confidence is not None
