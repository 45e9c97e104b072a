"""A run's folder of any size made by hand: drawn labels, answers, gold rewards and logs, and nothing trained."""

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
    SCORE_SCHEMA,
    annotations_to_rows,
    completion_to_row,
    pairs_to_rows,
    scores_to_rows,
)
from trimtab.types import Annotation, Completion, Cost, Pair, Score, build_user_prompt

STUDY = """
name: made-large
data: {{kind: file, path: pairs.jsonl}}
models: {{weak: smollm2-135m-instruct, student: gemma3-270m}}
num_report_samples: {samples}
scorers: {{gold: synthetic_checker}}
arms:
  weak_sure: {{annotator: implicit_reward, filter: {{kind: uncertainty, fraction: 0.5}}}}
"""
ARMS = ("human", "weak", "flipped")
STUDENTS = ("base", "sft", *ARMS, "weak_sure", "weak_model")
GOOD = {"base": 0.2, "sft": 0.4, "human": 0.6, "weak": 0.55, "flipped": 0.45, "weak_sure": 0.56, "weak_model": 0.3}
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

Made = tuple[Stage, Artifact]


def make_large(folder: Path, n_pairs: int, n_test: int, samples: int = 4, words: int = 60) -> Path:
    """Arms `human`, `weak`, `flipped` and `weak_sure`, whose filter keeps half of the labels of `weak`. The first pair is
    hostile."""
    draw, store = random.Random(0), Store(folder)
    unlabeled, test = _pairs(draw, "question", n_pairs, words), _pairs(draw, "test", n_test, words)
    split = _split(store, {"labeled": unlabeled[:4], "unlabeled": unlabeled, "test": test})
    labels = {name: _annotated(store, name, [_label(draw, pair, name) for pair in unlabeled]) for name in ARMS}
    stage = filter_stage("filter.weak_sure", Uncertainty(fraction=0.5), split[0], labels["weak"][0], {})
    labels["weak_sure"] = _made(store, stage, {"split": split[1], "labels": labels["weak"][1]})
    trained = {name: _logged(store, name, draw) for name in ("sft", *ARMS, "weak_sure")}
    reference = _table(store, "reference", draw, test, 0.0)
    arms = [_arm(store, draw, name, labels.get(name), trained.get(name), reference, test) for name in STUDENTS]
    told = [value for arm in arms for value in (*arm.values(), *arm["scores"].values()) if isinstance(value, str)]
    stages = dict.fromkeys(
        value for value in [split[1].folder.name, *told] if value and (store.root / "stages" / value).is_dir()
    )
    index = {
        "trimtab_version": "0.1.0",
        "study": "made-large",
        "split": split[1].folder.name,
        "test_rewards": {},
        "created": [],
    }
    (folder / "run.json").write_text(json.dumps({**index, "rows": arms, "stages": list(stages)}), encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY.format(samples=samples), encoding="utf-8")
    return folder


def _pairs(draw: random.Random, kind: str, count: int, words: int) -> list[Pair]:
    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(words // 2, words * 3 // 2)))

    asked = [HOSTILE if kind == "question" and place == 0 else f"{kind} {place}: {text()}?" for place in range(count)]
    return [
        Pair.from_responses(
            build_user_prompt(each), f"First {text()}.", f"Second {text()}.", draw.choice(("first", "second"))
        )
        for each in asked
    ]


def _label(draw: random.Random, pair: Pair, name: str) -> Annotation:
    if name == "weak" and draw.random() < 0.02:
        return Annotation(pair_id=pair.id, p_a=None, margin=None, status="failed", note="<b>no verdict</b>")
    right = 1.0 if name == "human" else 0.95 if draw.random() < 0.7 else 0.2
    sure = right if right == 1.0 else min(0.999, max(0.001, draw.gauss(right, 0.15)))
    p_a = sure if pair.human == "a" else 1 - sure
    cost = Cost(prompt_tokens=200, seconds=0.01) if name == "weak" else Cost()
    return Annotation(pair_id=pair.id, p_a=p_a, margin=p_a - 0.5, status="ok", cost=cost)


def _split(store: Store, sides: Mapping[str, Sequence[Pair]]) -> Made:
    def make(draft: Draft) -> Mapping[str, Any]:
        for side, pairs in sides.items():
            draft.write_rows(side, pairs_to_rows(pairs), PAIR_SCHEMA)
        counts = {side: len(pairs) for side, pairs in sides.items()}
        return {"pairs": counts, "prompts": counts, "layout": {}, "failures": 0, "reasons": {}}

    return _stage(store, "split", "split", make)


def _annotated(store: Store, name: str, annotations: Sequence[Annotation]) -> Made:
    def make(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("annotations", annotations_to_rows(annotations), ANNOTATION_SCHEMA)
        return {"pairs": len(annotations)}

    return _stage(store, f"annotate.{name}", "annotate", make)


def _logged(store: Store, name: str, draw: random.Random) -> Made:
    kind = "sft" if name == "sft" else "dpo"

    def make(draft: Draft) -> Mapping[str, Any]:
        rows = [
            {"step": step, "loss": 0.2 + 0.5 / step**0.3 + draw.gauss(0, 0.03), "accuracy": min(1, 0.5 + step / 900)}
            for step in range(1, 401)
        ]
        kept = rows if kind == "dpo" else [{"step": row["step"], "loss": row["loss"]} for row in rows]
        draft.folder.joinpath("log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
        return {"examples": 3200, "steps": 400, "last": {"loss": rows[-1]["loss"]}, "tokens": 900_000}

    return _stage(store, f"{kind}.{name}", kind, make)


def _table(store: Store, name: str, draw: random.Random, test: Sequence[Pair], lean: float) -> Made:
    def make(draft: Draft) -> Mapping[str, Any]:
        rows = []
        for pair in test:
            side = lean if pair.human == "a" else -lean
            a, b = draw.gauss(side, 1), draw.gauss(-side, 1)
            rows.append({"id": pair.id, "a": a, "b": b, "n_a": 9, "n_b": 9})
        draft.write_rows("logprobs", rows, LOGPROB_SCHEMA)
        return {"pairs": len(rows)}

    return _stage(store, f"logprobs.{name}", "logprobs", make)


def _answers(store: Store, name: str, draw: random.Random, test: Sequence[Pair]) -> tuple[Made, Made]:
    answers = [
        Completion(
            prompt_id=pair.prompt_id,
            prompt=pair.prompt,
            text=" ".join(draw.choices(WORDS, k=30)),
            n_tokens=draw.randint(20, 60),
            finish_reason="end",
        )
        for pair in test
    ]
    scores = [Score(prompt_id=each.prompt_id, value=draw.gauss(GOOD[name], 0.3)) for each in answers]

    def generated(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("completions", [completion_to_row(each) for each in answers], COMPLETION_SCHEMA)
        return {"prompts": len(answers)}

    def scored(draft: Draft) -> Mapping[str, Any]:
        draft.write_rows("scores", scores_to_rows(scores), SCORE_SCHEMA)
        return {"prompts": len(scores)}

    return (
        _stage(store, f"generate.{name}", "generate", generated),
        _stage(store, f"score.{name}", "score", scored),
    )


def _arm(
    store: Store,
    draw: random.Random,
    name: str,
    labels: Made | None,
    trained: Made | None,
    reference: Made,
    test: Sequence[Pair],
) -> dict[str, Any]:
    generated, scored = _answers(store, name, draw, test)
    chooses = name not in ("base", "sft")
    return {
        "name": name,
        "description": "",
        "annotator": {"human": "Human", "flipped": "NoisyHuman"}.get(name, "ImplicitReward") if labels else "",
        "skipped": "",
        "labels": _name(labels),
        "training": _name(trained),
        "policy_logprobs": _name(_table(store, name, draw, test, 0.5)) if chooses else None,
        "reference_logprobs": _name(reference) if chooses else None,
        "completions": _name(generated),
        "predictions": None,
        "scores": {"gold": _name(scored)},
    }


def _name(made: Made | None) -> str | None:
    return made[1].folder.name if made else None


def _stage(store: Store, name: str, kind: str, make: Any) -> Made:
    stage = Stage(name=name, kind=kind, execute=lambda draft, inputs, runtime: make(draft), settings={"made": name})
    return _made(store, stage, {})


def _made(store: Store, stage: Stage, inputs: Mapping[str, Artifact]) -> Made:
    runtime = Runtime(progress=lambda label, total, unit: nullcontext(lambda done=1: None), notify=lambda message: None)
    return stage, store.get_or_create(stage.name, stage.recipe, lambda draft: stage.execute(draft, inputs, runtime))
