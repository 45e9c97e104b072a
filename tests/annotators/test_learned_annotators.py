"""Learned annotators in a complete tiny study: probe, reward model, calibration and optimal_fraction."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from trimtab.annotators.probe import Probe
from trimtab.cli.progress import RichProgress
from trimtab.config.study import Study
from trimtab.core.annotator_inputs import AnnotatorInputs
from trimtab.core.runtime import Runtime
from trimtab.errors import DataError
from trimtab.filters.optimal_fraction import estimate_optimal_fraction
from trimtab.pipeline.dry_run import plan_dry_run
from trimtab.pipeline.executor import run_study
from trimtab.pipeline.stages.hidden_states import load_hidden_states
from trimtab.pipeline.stages.reward_table import load_rewards
from trimtab.storage.artifacts import Artifact, open_artifact
from trimtab.storage.schemas import load_annotations, load_split_pairs

Learned = tuple[Study, Path]
Run = Callable[[str], Learned]

LEARNED = """
name: learned
data: {{kind: starter, objective: harmless, families: [privacy, dishonesty, property], noise: 0.0}}
split: {{labeled: 0.5, test: 0.2, max_labeled: 60, max_unlabeled: 40, max_test: 6}}
models:
  weak: {{base: {model}, dtype: float32}}
  student: {{base: {model}, dtype: float32}}
training: {{sft: null, dpo: {{batch_size: 20, learning_rate: 1.0e-3, lora_r: 2}}}}
arms:
  probe: {{annotator: {{kind: probe, layers: [1, 2]}}, labels_only: true}}
  probed:
    annotator: {{kind: probe, layers: [1, 2]}}
    calibration: {{folds: 3}}
    filter: {{kind: optimal_fraction, folds: 3}}
    labels_only: true
  again: {{annotator: {{kind: probe, self_training_rounds: 3, self_training_fraction: 0.25}}, labels_only: true}}
  reward: {{annotator: {{kind: reward_model, training: {{lora_r: 2, batch_size: 20}}}}, labels_only: true}}
  whole:
    annotator: {{kind: reward_model, training: {{lora_r: 0, batch_size: 20, learning_rate: 1.0e-4}}}}
    labels_only: true
  isotonic: {{annotator: {{kind: noisy_human, noise_rate: 0.2}}, calibration: {{method: isotonic}}, labels_only: true}}
"""


@pytest.fixture(scope="module")
def learned(tiny_model: Path, run_whole: Run) -> Learned:
    return run_whole(LEARNED.format(model=tiny_model))


def artifact(folder: Path, name: str) -> Artifact:
    (found,) = (folder / "stages").glob(f"{name}-*")
    return open_artifact(found)


def test_all_folds_share_one_table_of_hidden_states(learned: Learned) -> None:
    kinds = [each.name.split(".")[0] for each in (learned[1] / "stages").iterdir()]
    assert kinds.count("hidden-states") == 2  # one per choice of layers


def test_each_labeled_pair_is_labeled_by_a_probe_that_learned_from_the_other_folds(learned: Learned) -> None:
    _, folder = learned
    features = load_hidden_states(artifact(folder, "hidden-states.probe"))
    held_out = load_annotations(artifact(folder, "out-of-fold.probed"))
    labeled = load_split_pairs(artifact(folder, "split"), "labeled")
    seen: set[str] = set()
    for fold in (1, 2, 3):
        split = artifact(folder, f"cv-fold.{fold}-of-3")
        inside, outside = load_split_pairs(split, "unlabeled"), load_split_pairs(split, "labeled")
        assert not {pair.prompt_id for pair in inside} & {pair.prompt_id for pair in outside}
        assert len(inside) + len(outside) == len(labeled)
        inputs = AnnotatorInputs(labeled_pairs=outside, features=features, pairs={pair.id: pair for pair in inside})
        for label in Probe(layers=(1, 2)).annotate(inside, inputs):
            assert held_out[label.pair_id].p_a == pytest.approx(label.p_a)
        seen |= {pair.id for pair in inside}
    assert seen == {pair.id for pair in labeled} == set(held_out)


def test_a_calibrated_arm_keeps_its_margins_and_its_choices(learned: Learned) -> None:
    _, folder = learned
    before = load_annotations(artifact(folder, "annotate.probe"))
    made = artifact(folder, "calibrate.probed")
    temperature = made.record["facts"]["calibrator"]["temperature"]
    for key, label in load_annotations(made).items():
        assert (label.margin, label.choice) == (before[key].margin, before[key].choice)
        assert label.p_a == pytest.approx(1 / (1 + math.exp(-(label.margin or 0) / temperature)), abs=1e-5)


def test_the_filter_keeps_the_fraction_estimated_from_out_of_fold_labels(learned: Learned) -> None:
    _, folder = learned
    labeled = load_split_pairs(artifact(folder, "split"), "labeled")
    held_out = load_annotations(artifact(folder, "out-of-fold.probed"))
    human = {pair.id: pair.human for pair in labeled if pair.human is not None}
    wanted = estimate_optimal_fraction(AnnotatorInputs(out_of_fold_labels=held_out, human_labels=human)).fraction
    kept = artifact(folder, "filter.probed").record["facts"]["kept"]
    assert kept == math.ceil(wanted * 40) < 40


def test_a_label_of_a_reward_model_is_the_sigmoid_of_the_difference(learned: Learned) -> None:
    _, folder = learned
    for arm in ("reward", "whole"):
        rewards = load_rewards(artifact(folder, f"reward-table.{arm}"))
        for key, label in load_annotations(artifact(folder, f"annotate.{arm}")).items():
            assert label.margin == pytest.approx(rewards[key].a - rewards[key].b)
            assert label.p_a == pytest.approx(1 / (1 + math.exp(-(label.margin or 0))))


def test_self_training_learns_from_the_most_confident_labels(learned: Learned) -> None:
    _, folder = learned
    split = artifact(folder, "split")
    unlabeled = load_split_pairs(split, "unlabeled")
    inputs = AnnotatorInputs(
        labeled_pairs=load_split_pairs(split, "labeled"),
        features=load_hidden_states(artifact(folder, "hidden-states.again")),
        pairs={pair.id: pair for pair in unlabeled},
    )
    again = load_annotations(artifact(folder, "annotate.again"))
    once = Probe().annotate(unlabeled, inputs)
    assert [again[label.pair_id].p_a for label in once] != [label.p_a for label in once]
    assert [
        again[each.pair_id]
        for each in Probe(self_training_rounds=3, self_training_fraction=0.25).annotate(unlabeled, inputs)
    ] == [again[label.pair_id] for label in once]


def test_the_plan_has_a_time_for_every_stage(learned: Learned, tmp_path: Path) -> None:
    study, folder = learned
    assert {row.state for row in plan_dry_run(study, folder)} == {"done"}
    shutil.copytree(
        next((folder / "stages").glob("split-*")), tmp_path / "stages" / next((folder / "stages").glob("split-*")).name
    )
    rows = plan_dry_run(study, tmp_path)
    assert [row.stage for row in rows if row.seconds is None and row.state != "done"] == []


def test_too_few_labeled_pairs_are_rejected_before_training(tiny_model: Path, tmp_path: Path) -> None:
    few = Study.parse(LEARNED.format(model=tiny_model).replace("max_labeled: 60", "max_labeled: 18"))
    runtime = Runtime(progress=RichProgress(Console(file=io.StringIO())), notify=lambda _: None)
    began: list[str] = []
    with pytest.raises(DataError, match=r"arms\.probe: it learns from the labeled pairs, and only 18"):
        run_study(few, tmp_path, runtime, lambda _, __, name: began.append(name))
    assert began == ["split"]
