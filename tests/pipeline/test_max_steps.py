"""With `max_steps`, arms with different numbers of labels train equally long; records and estimates agree with that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab.config.study import Study
from trimtab.pipeline.dry_run import plan_dry_run
from trimtab.pipeline.plan import build_plan

BLOCK = "{max_steps: 4, batch_size: 6, learning_rate: 1.0e-3, lora_r: 2}"
ARMS = f"""
arms:
  all: {{annotator: human, dpo: {BLOCK}}}
  few: {{annotator: human, dpo: {BLOCK}, filter: {{kind: subset, num_labels: 3}}}}
"""


@pytest.fixture(scope="module")
def facts(
    tiny_study: str, finished_run: Path, run_whole: Callable[..., tuple[Study, Path]]
) -> dict[str, dict[str, Any]]:
    """The facts of both trainings, and the steps in their logs."""
    _, folder = run_whole(tiny_study + ARMS, finished_run)
    found = {}
    for arm in ("all", "few"):
        (stage,) = (folder / "stages").glob(f"dpo.{arm}-*")
        log = [json.loads(line)["step"] for line in (stage / "log.jsonl").read_text().splitlines()]
        found[arm] = {**json.loads((stage / "record.json").read_text())["facts"], "logged": log}
    return found


def test_a_filtered_arm_trains_for_as_many_steps_as_the_others(facts: dict[str, dict[str, Any]]) -> None:
    for arm in ("all", "few"):
        assert (facts[arm]["steps"], facts[arm]["logged"]) == (4, [1, 2, 3, 4])
    assert facts["all"]["examples"] > facts["few"]["examples"] == 3


def test_the_record_counts_what_all_epochs_processed(facts: dict[str, dict[str, Any]]) -> None:
    few, many = facts["few"], facts["all"]
    assert (few["epochs"], few["processed_examples"]) == (4.0, 12)
    assert few["tokens"] == 4 * (few["tokens"] // 4)
    # at most ten pairs in batches of six are two steps per epoch
    assert (many["epochs"], many["processed_examples"]) == (2.0, 2 * many["examples"])
    assert [each["work"]["amount"] for each in (few, many)] == [few["tokens"], many["tokens"]]


def test_an_estimate_depends_on_the_steps_and_not_on_the_number_of_pairs(tiny_study: str, tmp_path: Path) -> None:
    def seconds(*changes: str) -> dict[str, float]:
        rows = plan_dry_run(Study.parse(tiny_study + ARMS, changes), tmp_path)
        return {row.stage: row.seconds for row in rows if row.seconds is not None}

    once = seconds()
    assert once["dpo.all"] == pytest.approx(once["dpo.few"])
    assert seconds("split.max_unlabeled=20")["dpo.all"] == pytest.approx(once["dpo.all"], rel=0.3)  # other pairs
    twice = seconds("arms.all.dpo.max_steps=8", "training.weak_dpo={max_steps: 30}", "training.weak_sft={max_steps: 2}")
    assert twice["dpo.all"] == pytest.approx(2 * once["dpo.all"])
    more = seconds("training.weak_dpo={max_steps: 60}", "training.weak_sft={max_steps: 6}")
    assert more["dpo.weak-model"] == pytest.approx(2 * twice["dpo.weak-model"])
    assert more["sft.weak-model"] == pytest.approx(3 * twice["sft.weak-model"])


def test_every_training_of_a_plan_can_have_a_number_of_steps(tiny_study: str) -> None:
    settings = [
        "training.sft={max_steps: 2}",
        "training.dpo={max_steps: 3}",
        "arms.rm={annotator: {kind: reward_model, training: {max_steps: 4}}}",
        "arms.judge={annotator: {kind: prompted, weak: '@weak.preference_model'}}",
        "training.weak_preference_model={max_steps: 5}",
        "scorers.trained={kind: study_reward_model, model: smollm2-135m-instruct, data: {kind: starter, limit: 60, seed: 5}, "
        "training: {max_steps: 6}}",
    ]
    stages = [stage for stage in build_plan(Study.parse(tiny_study, settings)).stages if stage.role == "training"]
    pairs = {
        stage.kind: stage.work.num_pairs for stage in stages if stage.work is not None and "study" not in stage.name
    }
    assert pairs == {"sft": 2 * 32, "dpo": 3 * 16, "reward_model": 4 * 16, "preference_model": 5 * 8}
    (trained,) = (stage.work for stage in stages if stage.name == "study-reward-model.trained")
    assert trained is not None and trained.num_pairs == 6 * 16
