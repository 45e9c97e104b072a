"""Every arm can have a loss of its own, and a loss reads what it needs and nothing else."""

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

PAGE = Path(__file__).parents[2] / "docs" / "losses.md"
ARMS: dict[str, dict[str, Any]] = {
    "weighted": {"labels": "weighted"},
    "robust": {"loss": "robust", "label_smoothing": "per_pair"},
    "simple": {"loss": "simpo", "beta": 2.0, "labels": "soft"},
}


def records(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """What was written of the stages of a kind, by name."""
    read = [json.loads(path.read_text()) for path in (folder / "stages").glob("*/record.json")]
    return {str(each["name"]): each for each in read if each["stage"] == kind}


def test_arms_learn_from_the_same_labels_by_losses_of_their_own(
    finished_run: Path, tiny_study: str, runtime: Runtime, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    study = yaml.safe_load(tiny_study)
    common = {**study["training"]["dpo"], "epochs": 2}
    arms = {name: {"annotator": "implicit_reward", "dpo": {**common, **dpo}} for name, dpo in ARMS.items()}
    run_study(Study.parse(yaml.safe_dump({**study, "arms": arms})), folder, runtime, lambda place, total, name: None)
    made = records(folder, "dpo")
    for name, dpo in ARMS.items():
        record = made[f"dpo.{name}"]
        assert dpo.items() <= record["settings"]["recipe"].items()
        assert ("reference" in record["inputs"]) == (name != "simple")
    # the first loss of each: weak labels of nearly 1/2 hardly count, and the others see the margins of equal models
    assert 0 <= made["dpo.weighted"]["facts"]["first"]["loss"] < 0.6931
    assert made["dpo.simple"]["facts"]["first"]["margin"] != 0


def test_the_examples_of_the_page_are_read_as_they_stand(tiny_study: str) -> None:
    study = yaml.safe_load(tiny_study)
    dpo, choosing = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
    plan = build_plan(Study.parse(yaml.safe_dump({**study, **dpo})))
    trained = {arm.name: arm.training for arm in plan.rows if arm.training}
    for name, arm in dpo["arms"].items():
        assert arm["dpo"].items() <= trained[name].settings["recipe"].items()
    read = Study.parse(yaml.safe_dump({**study, **choosing, "evaluation": {}}))
    assert read.training.preference_model.aux_confidence is not None
