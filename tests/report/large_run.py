"""A run folder of any size with random labels, responses, gold rewards and training logs. Nothing is trained."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trimtab.core.runtime import Runtime
from trimtab.filters.uncertainty import Uncertainty
from trimtab.pipeline.stage import Stage
from trimtab.pipeline.stages.filter import filter_stage
from trimtab.storage.artifacts import Artifact, Draft, Store
from trimtab.storage.schemas import (
    ANNOTATION_SCHEMA,
    COMPLETION_SCHEMA,
    LOGPROB_SCHEMA,
    PAIR_SCHEMA,
    REWARD_SCHEMA,
    SCORE_SCHEMA,
    annotations_to_rows,
    completion_to_row,
    pairs_to_rows,
    scores_to_rows,
)
from trimtab.types import Annotation, Completion, Cost, Pair, Score, build_user_prompt

STUDY = """
name: large
data: {{kind: file, path: pairs.jsonl}}
models: {{weak: smollm2-135m-instruct, student: gemma3-270m}}
num_report_samples: {samples}
scorers: {{gold: synthetic_checker}}
arms:
  weak_sure: {{annotator: implicit_reward, filter: {{kind: uncertainty, fraction: 0.5}}}}
"""
ARMS = ("human", "weak", "flipped")
STUDENTS = ("base", "sft", *ARMS, "weak_sure", "weak_model")
MEAN_REWARDS = {
    "base": 0.2,
    "sft": 0.4,
    "human": 0.6,
    "weak": 0.55,
    "flipped": 0.45,
    "weak_sure": 0.56,
    "weak_model": 0.3,
}
HOSTILE = "Is <script>alert('x')</script> & </script><img src=x onerror=alert(1)> <!-- shown?"
WORDS = (
    "the",
    "of",
    "a",
    "steady",
    "rudder",
    "turns",
    "small",
    "ships",
    "toward",
    "open",
    "water",
    "while",
    "wind",
    "and",
    "weak",
    "hands",
    "argue",
    "about",
    "direction",
)

CreatedStage = tuple[Stage, Artifact]


def create_large_run(folder: Path, n_pairs: int, n_test: int, samples: int = 4, words: int = 60) -> Path:
    """Arms `human`, `weak`, `flipped` and `weak_sure`, whose filter keeps half of the labels of `weak`. The first pair has
    hostile markup."""
    rng, store = random.Random(0), Store(folder)
    unlabeled, test = _sample_pairs(rng, "question", n_pairs, words), _sample_pairs(rng, "test", n_test, words)
    split = _create_split(store, {"labeled": unlabeled[:4], "unlabeled": unlabeled, "test": test})
    labels = {
        name: _create_labels(store, name, [_sample_label(rng, pair, name) for pair in unlabeled]) for name in ARMS
    }
    stage = filter_stage("filter.weak_sure", Uncertainty(fraction=0.5), split[0], labels["weak"][0], {})
    labels["weak_sure"] = _create_artifact(store, stage, {"split": split[1], "labels": labels["weak"][1]})
    trainings = {name: _create_training(store, name, rng) for name in ("sft", *ARMS, "weak_sure")}
    reference = _create_logprobs(store, "reference", rng, test, 0.0)
    rows = [_build_row(store, rng, name, labels.get(name), trainings.get(name), reference, test) for name in STUDENTS]
    rewards = _create_rewards(store, unlabeled)
    values = [value for row in rows for value in (*row.values(), *row["scores"].values()) if isinstance(value, str)]
    stages = dict.fromkeys(
        value
        for value in [split[1].folder.name, rewards, *values]
        if value and (store.root / "stages" / value).is_dir()
    )
    index = {
        "trimtab_version": "0.1.0",
        "study": "large",
        "split": split[1].folder.name,
        "test_rewards": {},
        "unlabeled_rewards": {"gold": rewards},
        "created": [],
    }
    (folder / "run.json").write_text(json.dumps({**index, "rows": rows, "stages": list(stages)}), encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY.format(samples=samples), encoding="utf-8")
    return folder


def _create_rewards(store: Store, pairs: Sequence[Pair]) -> str:
    """The folder of random gold rewards of all pairs but the last."""
    rng = random.Random(1)
    rows = [{"id": pair.id, "a": rng.gauss(0, 1), "b": rng.gauss(0, 1)} for pair in pairs[:-1]]
    name = "pair-scores.unlabeled.gold"
    _, artifact = create_stage(
        store, name, "reward_table", lambda draft: draft.write_rows("rewards", rows, REWARD_SCHEMA) or {}
    )
    return artifact.folder.name


def create_stage(store: Store, name: str, kind: str, execute: Any) -> CreatedStage:
    """A finished stage whose files `execute` writes to a draft."""
    stage = Stage(
        name=name, kind=kind, execute=lambda draft, inputs, runtime: execute(draft), settings={"created": name}
    )
    return _create_artifact(store, stage, {})


def _sample_pairs(rng: random.Random, kind: str, count: int, words: int) -> list[Pair]:
    def sample_text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(words // 2, words * 3 // 2)))

    questions = [
        HOSTILE if kind == "question" and index == 0 else f"{kind} {index}: {sample_text()}?" for index in range(count)
    ]
    return [
        Pair.from_responses(
            build_user_prompt(question),
            f"First {sample_text()}.",
            f"Second {sample_text()}.",
            rng.choice(("first", "second")),
        )
        for question in questions
    ]


def _sample_label(rng: random.Random, pair: Pair, name: str) -> Annotation:
    if name == "weak" and rng.random() < 0.02:
        return Annotation(pair_id=pair.id, p_a=None, margin=None, status="failed", note="<b>no verdict</b>")
    mean = 1.0 if name == "human" else 0.95 if rng.random() < 0.7 else 0.2
    p_correct = mean if mean == 1.0 else min(0.999, max(0.001, rng.gauss(mean, 0.15)))
    p_a = p_correct if pair.human == "a" else 1 - p_correct
    cost = Cost(prompt_tokens=200, seconds=0.01) if name == "weak" else Cost()
    return Annotation(pair_id=pair.id, p_a=p_a, margin=p_a - 0.5, status="ok", cost=cost)


def _create_split(store: Store, splits: Mapping[str, Sequence[Pair]]) -> CreatedStage:
    def execute(draft: Draft) -> Mapping[str, Any]:
        for split, pairs in splits.items():
            draft.write_rows(split, pairs_to_rows(pairs), PAIR_SCHEMA)
        counts = {split: len(pairs) for split, pairs in splits.items()}
        return {"pairs": counts, "prompts": counts, "layout": {}, "failures": 0, "reasons": {}}

    return create_stage(store, "split", "split", execute)


def _create_labels(store: Store, name: str, annotations: Sequence[Annotation]) -> CreatedStage:
    def execute(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        return {"pairs": len(annotations)}

    return create_stage(store, f"annotate.{name}", "annotate", execute)


def _create_training(store: Store, name: str, rng: random.Random) -> CreatedStage:
    kind = "sft" if name == "sft" else "dpo"

    def execute(draft: Draft) -> Mapping[str, Any]:
        records = [
            {"step": step, "loss": 0.2 + 0.5 / step**0.3 + rng.gauss(0, 0.03), "accuracy": min(1, 0.5 + step / 900)}
            for step in range(1, 401)
        ]
        logged = records if kind == "dpo" else [{"step": each["step"], "loss": each["loss"]} for each in records]
        draft.folder.joinpath("log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in logged))
        return {"examples": 3200, "steps": 400, "last": {"loss": records[-1]["loss"]}, "tokens": 900_000}

    return create_stage(store, f"{kind}.{name}", kind, execute)


def _create_logprobs(
    store: Store, name: str, rng: random.Random, test: Sequence[Pair], mean_advantage: float
) -> CreatedStage:
    """Log-probabilities whose mean is higher by `mean_advantage` for the human-preferred response and lower for the other."""

    def execute(draft: Draft) -> Mapping[str, Any]:
        rows = []
        for pair in test:
            mean = mean_advantage if pair.human == "a" else -mean_advantage
            a, b = rng.gauss(mean, 1), rng.gauss(-mean, 1)
            rows.append({"id": pair.id, "a": a, "b": b, "n_a": 9, "n_b": 9})
        draft.write_rows("logprobs", rows, LOGPROB_SCHEMA)
        return {"pairs": len(rows)}

    return create_stage(store, f"logprobs.{name}", "logprobs", execute)


def _create_responses(
    store: Store, name: str, rng: random.Random, test: Sequence[Pair]
) -> tuple[CreatedStage, CreatedStage]:
    """The stages with the responses and with their scores."""
    completions = [
        Completion(
            prompt_id=pair.prompt_id,
            prompt=pair.prompt,
            text=" ".join(rng.choices(WORDS, k=30)),
            n_tokens=rng.randint(20, 60),
            finish_reason="end",
        )
        for pair in test
    ]
    scores = [Score(prompt_id=each.prompt_id, value=rng.gauss(MEAN_REWARDS[name], 0.3)) for each in completions]

    def generate(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("completions", [completion_to_row(each) for each in completions], COMPLETION_SCHEMA)
        return {"prompts": len(completions)}

    def score(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("scores", scores_to_rows(scores), SCORE_SCHEMA)
        return {"prompts": len(scores)}

    return (
        create_stage(store, f"generate.{name}", "generate", generate),
        create_stage(store, f"score.{name}", "score", score),
    )


def _build_row(
    store: Store,
    rng: random.Random,
    name: str,
    labels: CreatedStage | None,
    training: CreatedStage | None,
    reference: CreatedStage,
    test: Sequence[Pair],
) -> dict[str, Any]:
    completions, scores = _create_responses(store, name, rng, test)
    has_accuracy = name not in ("base", "sft")
    return {
        "name": name,
        "annotator": {"human": "human", "flipped": "noisy_human"}.get(name, "implicit_reward") if labels else "",
        "labels": _folder_name(labels),
        "training": _folder_name(training),
        "policy_logprobs": _folder_name(_create_logprobs(store, name, rng, test, 0.5)) if has_accuracy else None,
        "reference_logprobs": _folder_name(reference) if has_accuracy else None,
        "completions": _folder_name(completions),
        "predictions": None,
        "scores": {"gold": _folder_name(scores)},
    }


def _folder_name(stage: CreatedStage | None) -> str | None:
    return stage[1].folder.name if stage else None


def _create_artifact(store: Store, stage: Stage, inputs: Mapping[str, Artifact]) -> CreatedStage:
    runtime = Runtime(progress=lambda label, total, unit: nullcontext(lambda done=1: None), notify=lambda message: None)
    return stage, store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, runtime))
