"""SEAM's studies: they can be planned without a network, and train every student for equally many steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab.annotators.seam import Seam
from trimtab.annotators.seam.variants import VARIANTS
from trimtab.config.data_sources import PredefinedSplits
from trimtab.config.study import Study
from trimtab.filters.from_source import FromSource
from trimtab.pipeline.dry_run import REASON_DATA_AND_WEIGHTS_MISSING
from trimtab.pipeline.plan import Plan, RowStages, build_plan
from trimtab.pipeline.stage import Stage
from trimtab.sources.concat import Concat
from trimtab.sources.exclude import Exclude
from trimtab.sources.hub import Hub

SEAM = Path(__file__).parents[2] / "studies" / "seam2025"
DATASETS = ("af", "hs", "am", "ch", "ahh", "sr")
METHODS = (
    *("naive", "uncertainty", "self_reward", "ensemble", "aux_confidence", "consistency", "consultancy", "debate"),
    *("seam_all", "seam", "truth"),
)

# In a process of its own: libraries read the hub's settings and cache folder once, at import.
OFFLINE = """
import json, sys
from pathlib import Path
from trimtab.config.study import Study
from trimtab.filters.from_source import FromSource
from trimtab.pipeline.dry_run import plan_dry_run
from trimtab.pipeline.plan import build_plan
from trimtab.sources.hub import HubUnreachableError

folder = Path(sys.argv[1])
plans = {}
for name in ("tables", "figure4", "released_code"):
    for variant, study in Study.load_variants(folder / f"{name}.yaml").items():
        rows = {row.stage: [row.state, row.reason] for row in plan_dry_run(study, Path(sys.argv[2]))}
        try:
            error_message = build_plan(study) and ""
        except HubUnreachableError as error:
            error_message = str(error)
        plans[f"{name} {variant}".strip()] = {"rows": rows, "error": error_message}
print(json.dumps(plans))
"""


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The dry runs of the studies at the paper's size, without a hub."""
    home = tmp_path_factory.mktemp("home")
    environment = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HOME": str(home), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", OFFLINE, str(SEAM), str(home / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plans: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return plans


def row(plan: Plan, name: str) -> RowStages:
    return next(row for row in plan.rows if row.name == name)


def fingerprint(stage: Stage | None) -> str:
    assert stage is not None
    return stage.fingerprint


def load_laptop(name: str) -> dict[str, Study]:
    return Study.load_variants(SEAM / "laptop" / f"{name}.yaml")


def on_starter_pairs(study: Study) -> Study:
    """The study with pairs and models that a plan needs no files for."""
    settings = yaml.safe_load(study.to_yaml())
    starter = {"kind": "starter", "limit": 40}
    settings |= {
        "data": starter,
        "scorers": {name: {**each, "data": starter} for name, each in settings.get("scorers", {}).items()},
    }
    return Study.model_validate(settings)


def test_every_study_can_be_planned_before_any_download(offline: dict[str, dict[str, Any]]) -> None:
    tables = {f"tables {dataset}" for dataset in DATASETS}
    assert set(offline) == {*tables, "figure4", "released_code am", "released_code af"}
    for plan in offline.values():
        assert {tuple(row) for row in plan["rows"].values()} == {("to run", REASON_DATA_AND_WEIGHTS_MISSING)}
        assert {"split", "annotate.seam", "filter.seam", "annotate.weak"} <= set(plan["rows"])


def test_the_plan_of_a_run_never_has_a_placeholder_for_its_data(offline: dict[str, dict[str, Any]]) -> None:
    for plan in offline.values():
        assert plan["error"].startswith("the dataset cannot be loaded: the Hub could not be reached")


def test_evaluation_sets_have_their_original_sizes_and_5000_pairs_are_labeled() -> None:
    studies = Study.load_variants(SEAM / "tables.yaml")
    assert tuple(studies) == DATASETS
    for study in studies.values():
        assert isinstance(study.data, PredefinedSplits)
        limits = {name: getattr(getattr(study.data, name), "limit", None) for name in ("test", "unlabeled")}
        assert limits == {"test": None, "unlabeled": 5000}


@pytest.mark.parametrize("path", ["tables.yaml", "laptop/tables.yaml"])
def test_every_student_trains_for_the_same_number_of_steps(path: str) -> None:
    for study in Study.load_variants(SEAM / path).values():
        stages = [each for each in build_plan(on_starter_pairs(study)).stages if each.kind == "preference_model"]
        students = [each for each in stages if not each.name.startswith("preference-model.weak-model")]
        assert len(students) == 12
        assert len({each.settings["recipe"]["max_steps"] for each in students}) == 1


def test_the_laptop_size_has_the_arms_and_the_variant_of_the_paper() -> None:
    paper = Study.load(SEAM / "tables.yaml", variant="am")
    for study in load_laptop("tables").values():
        assert list(study.arms) == list(paper.arms)
        for name, arm in study.arms.items():
            assert (type(arm.annotator), arm.filter) == (type(paper.arms[name].annotator), paper.arms[name].filter)
            if isinstance(arm.annotator, Seam):
                assert arm.annotator.resolve_variant() == Seam(variant="paper").resolve_variant()


def test_in_figure_4_methods_label_training_rows_and_their_students_the_whole_test_sets() -> None:
    study = Study.load(SEAM / "figure4.yaml")
    assert isinstance(study.data, PredefinedSplits)
    unlabeled, human = study.data.unlabeled, study.arms["truth"].filter
    assert isinstance(unlabeled, Concat)
    assert isinstance(human, FromSource)
    evaluated, held = unlabeled.sources
    assert isinstance(evaluated, Exclude)
    assert isinstance(held, Exclude)
    assert human.source == held
    assert (evaluated.limit, held.limit) == (None, 5000)
    assert evaluated in held.exclude_prompts_from
    splits = [
        {part.split for part in each.source.sources if isinstance(part, Hub)}
        for each in (evaluated, held)
        if isinstance(each.source, Concat)
    ]
    assert splits == [{"test"}, {"train"}]


def test_in_figure_4_each_method_labels_the_other_half_of_the_pairs() -> None:
    (study,) = load_laptop("figure4").values()
    plan = build_plan(on_starter_pairs(study))
    complements = set()
    for method in METHODS:
        by = row(plan, f"by_{method}")
        assert by.training is not None
        new = by.training.input_stages["labels"]
        student = new.input_stages["labels"].input_stages["engine.weak"]
        assert student.name == f"preference-model.{method}"
        assert student.settings["recipe"]["max_steps"] == study.training.preference_model.max_steps
        # new pairs are those on which `truth` has no label; a method is trained on those on which `human` has none
        assert (new.kind, new.settings) == ("filter", {"filter": {"kind": "complement", "arm": "truth"}})
        if method != "truth":
            assert "labels.human" in student.input_stages["labels"].input_stages
        complements.add(fingerprint(new.input_stages["labels.truth"]))
        assert (by.training.kind, by.training.input_stages["model"].name) == ("dpo", "sft.student")
        assert by.training.settings["recipe"]["max_steps"] == study.training.dpo.max_steps
        assert by.verdicts["gpt"].input_stages["baseline"].name == "generate.sft"
        assert row(plan, method).skipped
    assert len(complements) == 1


def test_the_released_code_is_compared_with_the_paper_one_difference_at_a_time() -> None:
    for study in load_laptop("released_code").values():
        variants = {
            name: arm.annotator.resolve_variant() for name, arm in study.arms.items() if isinstance(arm.annotator, Seam)
        }
        paper, code = variants.pop("seam"), variants.pop("seam_released_code")
        assert (paper, code) == (VARIANTS["paper"], VARIANTS["released_code"])
        changed = {
            name: {
                field.name: getattr(each, field.name)
                for field in fields(each)
                if getattr(each, field.name) != getattr(paper, field.name)
            }
            for name, each in variants.items()
        }
        assert changed == {
            "seam_override": {"helpful_only_labeler": "strong"},
            "seam_pruned": {"node_selection": "unbroken_gain"},
            "seam_both_orders": {"presentation_order": "both"},
            "seam_full_names": {"principle_scoring": "full_name"},
        }
        assert not any(
            each.kind == "preference_model" and "weak-model" not in each.name
            for each in build_plan(on_starter_pairs(study)).stages
        )
